"""The derivative of a layer's integer arithmetic: one walk over its graph, back through time.

Roundings are straight-through (Bengio et al. 2013): their derivative is that of the identity,
and zero where they saturate. Activation tables have the derivative of their function, at the
table's result or at its argument.
"""

from collections.abc import Collection, Mapping

import numpy as np

from ..compiler.graph import Activation, Affine, Inverse, Mul, State
from ..compiler.integer import IntegerLayer
from .history import History
from .parameters import INITIAL
from .products import Products
from .walk import Gradients, Walk

__all__ = ["LayerGradient"]

Array = np.ndarray


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
        walk = Walk(self._products, history, used, given, self._steps)
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
        parameters |= self._initial(carried)
        steps = {p: walk.steps[p] - self._reached(p, parameters) for p in self._steps}
        return Gradients(inputs=found, parameters=parameters, steps=steps)

    def _initial(self, carried: Mapping[int, Array]) -> dict[str, Array]:
        """Of the states that do not start from zero, from those of the first timestep's states."""
        return {
            INITIAL + state.name: (
                carried[position].sum(axis=0)
                if position in carried
                else np.zeros(state.size, dtype=self.kind)
            )
            for position, state in self._layer.graph.of(State)
            if state.name in self._layer.initial
        }

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
