"""The derivative of one pass over a layer's graph, back through time, node by node."""

from collections.abc import Collection, Mapping
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
from ..sim.columns import selected
from .derivatives import BY_RESULT, INVERSES
from .history import History
from .products import Products

__all__ = ["Gradients", "Walk"]

Array = np.ndarray


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


class Walk:
    """One backward pass: timestep by timestep, node by node.

    Parameters
    ----------
    products : Products
        Of the layer.
    history : History
        Of the forward pass.
    used : mapping of str to numpy.ndarray
        By operand: integers (time, batch, size) that its products stand for.
    given : Gradients
        Of outputs and operands.
    steps : collection of int
        Positions of the rescale nodes whose formats' steps are learned.

    Attributes
    ----------
    here : dict of int to numpy.ndarray
        By position: the derivative of a node in the timestep, as far as it is known.
    gates : numpy.ndarray
        Of the sums of all gates, (time, rows, total).
    inputs : numpy.ndarray
        (time, batch, features).
    parameters, steps : dict
        Of constants by name, and of learned steps by position.
    """

    def __init__(
        self,
        products: Products,
        history: History,
        used: Mapping[str, Array],
        given: Gradients,
        steps: Collection[int],
    ):
        self._products = products
        self._layer = layer = products.layer
        self._history = history
        self._used = used
        self._given = given
        self._held: dict[str, Array] = {}
        self._waiting = {o.node: o for o in waiting_operands(layer)}
        times, batch, _ = next(iter(used.values())).shape
        rows, kind = batch * layer.pixels, products.kind
        self.gates = np.zeros((times, rows, products.rows.total), dtype=kind)
        self.steps = dict.fromkeys(steps, 0.0)
        self.inputs = np.zeros((times, batch, layer.input_size), dtype=kind)
        self.parameters = {
            constant.name: np.zeros(constant.size, dtype=kind)
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
            operand = self._waiting.get(position)
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
                    rows = self._products.rows.of[operand]
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
        """Real values of a node in the timestep."""
        format = self._layer.graph.nodes[position].format
        assert format is not None
        found = self._history.values[self.time][position].astype(self._products.kind)
        found *= format.scale
        return found

    def _operand(self, operand: Operand) -> Array:
        """Derivative (batch, size) of a state as it is multiplied in this timestep."""
        found = self._products.of_operand(operand, self.gates[self.time])
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
            if operand.node in self._waiting:
                continue
            flat = self.gates.reshape(-1, self.gates.shape[-1])
            found = self._products.of_operand(operand, flat).reshape(self.inputs.shape)
            rounding = self._layer.graph.nodes[operand.node].name
            for time in reversed(range(len(found))):
                released = self._released(operand, time, found[time])
                cut = self._history.cuts[time].get(rounding)
                self.inputs[time] += released if cut is None else np.where(cut, 0, released)


def waiting_operands(layer: IntegerLayer) -> list[Operand]:
    """Those that are not known before the timestep: all but the input."""
    return [o for o in layer.operands if not isinstance(layer.graph.nodes[o.source], Input)]
