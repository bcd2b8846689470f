"""The derivative of a layer's integer arithmetic: one walk over its graph, back through time.

Roundings are straight-through (Bengio et al. 2013): their derivative is that of the identity,
and zero where they saturate. Activation tables have the derivative of their function, at the
table's result or at its argument.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..compiler.graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Input,
    Inverse,
    Mul,
    Multiple,
    Node,
    Reduce,
    Rescale,
    Scale,
    State,
    Sub,
)
from ..compiler.integer import IntegerLayer, Operand, Skip
from ..sim.golden import selected
from .history import History
from .products import Products

__all__ = ["Gradients", "LayerGradient", "has_derivative"]

Array = np.ndarray

BY_RESULT: dict[str, Callable[[Array], Array]] = {
    "relu": lambda y: (y > 0).astype(y.dtype),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
}
"""Derivatives that follow from a function's result, at less cost than from its argument."""

INVERSES: dict[str, Callable[[Array], Array]] = {
    "root": lambda y: -0.5 * y**3,
    "reciprocal": lambda y: -(y**2),
}
"""The same of scalars' inverses."""


def has_derivative(node: Node) -> bool:
    """Whether a node of a float graph can be trained."""
    if isinstance(node, Activation):
        return node.definition.slope is not None
    if isinstance(node, Inverse):
        return node.function in INVERSES
    linear = Rescale | Multiple | Reduce
    return isinstance(node, Input | State | Constant | Affine | Add | Sub | Mul | linear)


@dataclass
class Gradients:
    """Derivatives with respect to real values.

    Parameters
    ----------
    outputs : numpy.ndarray, optional
        (time, batch, units).
    states : dict of int to numpy.ndarray
        By position of a state: (batch, size), of its value after a sequence's last timestep.
    operands : dict of str to numpy.ndarray
        By operand: (time, batch, size), of the values that its products stand for.
    inputs : numpy.ndarray, optional
        (time, batch, features).
    parameters : dict of str to numpy.ndarray
        Weights, biases and constants by name, in their shapes.
    steps : dict of int to float
        By position of a rescale node: of the logarithm of its format's step.
    """

    outputs: Array | None = None
    states: dict[int, Array] = field(default_factory=dict)
    operands: dict[str, Array] = field(default_factory=dict)
    inputs: Array | None = None
    parameters: dict[str, Array] = field(default_factory=dict)
    steps: dict[int, float] = field(default_factory=dict)


class LayerGradient:
    """The backward pass of one layer.

    Parameters
    ----------
    layer : IntegerLayer
        What ran forward.
    weights : mapping of str to numpy.ndarray
        Real values of the layer's weights, biases and constants, by name.
    kind : numpy dtype
        Floating-point type of all derivatives.
    steps : collection of int
        Positions of the rescale nodes whose formats' steps are learned.

    Attributes
    ----------
    kind : numpy dtype
        As it was given.
    wanted : frozenset of int
        Positions of the nodes whose values a :class:`~deltaloom.training.history.History` keeps.
    """

    def __init__(
        self,
        layer: IntegerLayer,
        weights: Mapping[str, Array],
        kind: np.dtype,
        steps: Collection[int] = (),
    ):
        self._steps = frozenset(steps)
        self._weights = weights
        self._layer = layer
        self._nodes = layer.graph.nodes
        self.kind = kind
        self._products = Products(layer, weights, kind)
        self._waiting = {
            o.node: o for o in layer.operands if not isinstance(self._nodes[o.source], Input)
        }
        self.wanted = frozenset(
            position
            for node in self._nodes
            for position in (node.operands if isinstance(node, Mul | Activation) else ())
        ) | {position for position, _ in (*layer.graph.of(Activation), *layer.graph.of(Inverse))}
        for position in self._steps:
            self.wanted |= {position, *self._nodes[position].operands} - set(self._products.rows.of)

    def run(
        self,
        history: History,
        used: Mapping[str, Array],
        lengths: Array,
        given: Gradients,
        *,
        inputs: bool = True,
    ) -> Gradients:
        """Derivatives of inputs and parameters, from those of outputs, states and operands.

        Parameters
        ----------
        history : History
            Of the forward pass, with :attr:`wanted`.
        used : mapping of str to numpy.ndarray
            By operand: integers (time, batch, size) that its products stand for.
        lengths : numpy.ndarray
            Timesteps of each sequence, (batch,); beyond them ``given`` is zero.
        given : Gradients
            Of outputs, states and operands.
        inputs : bool
            Whether those of the inputs are wanted.
        """
        walk = _Walk(self, history, used, given)
        graph = self._layer.graph
        following = [(p, graph.next_of(p)) for p, _ in graph.of(State)]
        carried: dict[int, Array] = {}
        for time in reversed(range(len(history.values))):
            walk.begin(time)
            ending = (lengths == time + 1)[:, None]
            for state, source in following:
                if state in carried:
                    walk.add(source, carried[state])
                if state in given.states and ending.any():
                    walk.add(source, np.where(ending, given.states[state], 0))
            walk.back()
            carried = {s: walk.here.pop(s) for s, _ in following if s in walk.here}
        if inputs:
            walk.finish_inputs()
        found = walk.inputs if inputs else None
        gates = walk.gates.reshape(-1, walk.gates.shape[-1])
        parameters = walk.parameters | self._products.of_weights(used, gates)
        steps = {p: walk.steps[p] - self._reached(p, parameters) for p in self._steps}
        return Gradients(inputs=found, parameters=parameters, steps=steps)

    def _reached(self, position: int, parameters: Mapping[str, Array]) -> float:
        """Sum of a rounded affine's values times the derivatives that passed the rounding.

        Those values are products with the weights, so it is the weights times their derivatives.
        """
        (operand,) = self._nodes[position].operands
        affine = self._nodes[operand]
        if not isinstance(affine, Affine):
            return 0.0
        names = (affine.name, *(affine.key(path) for path in affine.paths))
        return sum(float(np.vdot(self._weights[name], parameters[name])) for name in names)

    def real(self, position: int, integers: Array) -> Array:
        """Real values of a node's integers."""
        format = self._nodes[position].format
        assert format is not None
        found = integers.astype(self.kind)
        found *= format.scale
        return found


class _Walk:
    """One backward pass: timestep by timestep, node by node."""

    def __init__(
        self,
        gradient: LayerGradient,
        history: History,
        used: Mapping[str, Array],
        given: Gradients,
    ):
        self._gradient = gradient
        self._layer = layer = gradient._layer
        self._history = history
        self._used = used
        self._given = given
        self._held: dict[str, Array] = {}
        steps, batch, _ = next(iter(used.values())).shape
        rows = batch * layer.pixels
        self.gates = np.zeros((steps, rows, gradient._products.rows.total), dtype=gradient.kind)
        self.steps = dict.fromkeys(gradient._steps, 0.0)
        self.inputs = np.zeros((steps, batch, layer.input_size), dtype=gradient.kind)
        self.parameters = {
            constant.name: np.zeros(constant.size, dtype=gradient.kind)
            for _, constant in layer.graph.of(Constant)
        }

    def begin(self, time: int) -> None:
        """Start on a timestep."""
        self.time = time
        self.here: dict[int, Array] = {}
        if self._given.outputs is not None:
            self.add(self._layer.graph.output, self._given.outputs[time])

    def add(self, position: int, part: Array) -> None:
        """Add a part of a node's derivative; arrays are shared and never changed."""
        if position in self._layer.graph.scalars and part.shape[-1] > 1:
            part = part.sum(axis=-1, keepdims=True)
        found = self.here.get(position)
        self.here[position] = part if found is None else found + part

    def back(self) -> None:
        """From the derivatives of the last nodes to those of states, inputs and gates."""
        nodes = self._layer.graph.nodes
        for position in range(len(nodes) - 1, -1, -1):
            operand = self._gradient._waiting.get(position)
            if operand is not None:
                self.add(position, self._operand(operand))
            if position in self.here and not isinstance(nodes[position], State):
                self._node(position, nodes[position], self.here.pop(position))

    def _node(self, position: int, node: Node, arrived: Array) -> None:
        match node:
            case Rescale(operand=operand):
                cut = self._history.cuts[self.time].get(node.name)
                passed = arrived if cut is None else np.where(cut, 0, arrived)
                if position in self.steps:
                    self._step(position, operand, arrived, passed)
                if isinstance(self._layer.graph.nodes[operand], Affine):
                    rows = self._gradient._products.rows.of[operand]
                    gates = self.gates[self.time]
                    gates[:, rows] = passed.reshape(len(gates), -1)
                else:
                    self.add(operand, passed)
            case Activation(operand=operand, function=function):
                if function in BY_RESULT:
                    slope = BY_RESULT[function](self._value(position))
                else:
                    derivative = node.definition.slope
                    assert derivative is not None, "checked when the module was prepared"
                    slope = derivative(self._value(operand))
                slope *= arrived
                self.add(operand, slope)
            case Mul(a=a, b=b):
                self.add(a, arrived * self._value(b))
                self.add(b, arrived * self._value(a))
            case Add(a=a, b=b):
                self.add(a, arrived)
                self.add(b, arrived)
            case Sub(a=a, b=b):
                self.add(a, arrived)
                self.add(b, -arrived)
            case Scale(operand=operand):
                self.add(operand, arrived)  # the real weights are those behind it
            case Multiple(operand=operand, factor=factor):
                self.add(operand, arrived * factor)
            case Reduce(operand=operand):
                size = self._layer.graph.nodes[operand].size
                self.add(operand, np.broadcast_to(arrived, (len(arrived), size)))
            case Inverse(operand=operand, function=function):
                slope = INVERSES[function](self._value(position))
                self.add(operand, arrived * slope)
            case Constant(name=name):
                self.parameters[name] += arrived.sum(axis=0)
            case Input():
                self.inputs[self.time] += arrived
            case _:
                raise TypeError(f"Node must have a derivative, not {node!r}")

    def _step(self, position: int, operand: int, arrived: Array, passed: Array) -> None:
        """Derivative of the logarithm of a format's step, but for what affines contribute."""
        self.steps[position] += float(np.vdot(arrived, self._value(position)))
        if not isinstance(self._layer.graph.nodes[operand], Affine):
            self.steps[position] -= float(np.vdot(passed, self._value(operand)))

    def _value(self, position: int) -> Array:
        return self._gradient.real(position, self._history.values[self.time][position])

    def _operand(self, operand: Operand) -> Array:
        """Derivative (batch, size) of a state as it is multiplied in this timestep."""
        found = self._gradient._products.of_operand(operand, self.gates[self.time])
        return self._released(operand, self.time, found)

    def _released(self, operand: Operand, time: int, found: Array) -> Array:
        """What of a derivative belongs to this timestep's value of an operand.

        With a threshold, or where some are selected, an element that did not fire stands for the
        value it last fired with, to which its derivative is carried back.
        """
        if operand.name in self._given.operands:
            found = found + self._given.operands[operand.name][time]
        threshold = self._layer.skip is Skip.DELTA and operand.theta > 1
        if not threshold and not operand.selected:
            return found
        found = found + self._held.get(operand.name, 0)
        used = self._used[operand.name]
        difference = used[time] - (used[time - 1] if time else 0)
        fired = selected(difference, operand.selected) if operand.selected else difference != 0
        self._held[operand.name] = np.where(fired, 0, found)
        return np.where(fired, found, 0)

    def finish_inputs(self) -> None:
        """Add what the products of the input contribute, in one product over all timesteps."""
        for operand in self._layer.operands:
            if operand.node in self._gradient._waiting:
                continue
            flat = self.gates.reshape(-1, self.gates.shape[-1])
            found = self._gradient._products.of_operand(operand, flat).reshape(self.inputs.shape)
            rounding = self._layer.graph.nodes[operand.node].name
            for time in reversed(range(len(found))):
                released = self._released(operand, time, found[time])
                cut = self._history.cuts[time].get(rounding)
                self.inputs[time] += released if cut is None else np.where(cut, 0, released)
