"""A network that is trained in the arithmetic that it will be deployed in."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..compiler.errors import DeltaloomError, UnsupportedError
from ..compiler.integer import Skip
from ..compiler.integer_network import IntegerNetwork
from ..compiler.network import Network
from ..compiler.quantize import (
    Plan,
    make_plan,
    round_network,
)
from ..compiler.recipe import Recipe
from ..compiler.recipe_names import check_recipe
from ..compiler.wiring import INPUT
from . import checkpoint
from .activity import delta_activity
from .arguments import Arguments, as_frames, read_arguments, shape_output
from .call import Call
from .dense_shift import is_shift
from .forward import Pass, run_network
from .network_parameters import NetworkParameters
from .plan_formats import Place, formats_of, with_formats
from .ranges import Ranges
from .streams import check_differentiable

__all__ = ["Prepared"]


class Prepared(nn.Module):
    """A torch module whose forward pass is the integer arithmetic of the golden model.

    Its outputs equal, in every bit, those of the model that :func:`deltaloom.quantize` makes of
    it. Roundings have straight-through derivatives (Bengio et al. 2013), so that any torch
    optimizer trains it. Its parameters are floats called
    ``cells.<layer>.<gate>.<operand>.value`` and ``cells.<layer>.<gate>.bias.value``; ``shift``
    weights are ``.sign`` and ``.exponent`` instead of ``.value`` (Li et al. 2023), and that of an
    embedding is ``cells.<layer>.table.value``. Biases that the module lacks start at zero and are
    trained too, as hardware has them anyway. Formats are those of the last calibration. Dropout
    does nothing, and batch normalisation is part of the weights.

    With ``rounding="stochastic"`` every forward pass in training mode draws all weights anew, from
    torch's generator (Courbariaux et al. 2015, Lin et al. 2016, Alom et al. 2018); in evaluation
    mode, and in the model that is frozen, they are the nearest levels, the likeliest draw.

    Parameters
    ----------
    plan : Plan
        The float network, with whose weights training starts, and all formats.
    call : Call
        How it is called.
    dtype : torch.dtype
        Of parameters and outputs.
    learn_ranges : bool
        Whether the formats of weights and multiplied operands are trained: ``ranges.log2_steps``
        has the exponents of their steps.
    """

    def __init__(self, plan: Plan, call: Call, dtype: torch.dtype, learn_ranges: bool = False):
        super().__init__()
        check_differentiable(plan.network)
        self._calibrated = plan
        self._signature = call
        self._last: Pass | None = None
        self.ranges = Ranges(plan) if learn_ranges else None
        self.cells = NetworkParameters(plan, dtype)

    @property
    def recipe(self) -> Recipe:
        """What quantization was asked to do."""
        return self._calibrated.recipe

    @property
    def _dtype(self) -> torch.dtype:
        """Of outputs: that of the parameters, or float32 where theirs is too narrow."""
        parameter = next(self.cells.parameters())
        if parameter.device.type != "cpu":
            raise UnsupportedError(
                f"Prepared modules compute on the processor, not on {parameter.device}: move "
                f"module and data there"
            )
        return torch.float64 if parameter.dtype == torch.float64 else torch.float32

    @property
    def _plan(self) -> Plan:
        return self.ranges.plan(self._calibrated) if self.ranges else self._calibrated

    def _step(self, place: Place) -> Tensor | None:
        return self.ranges.step(place) if self.ranges else None

    def network(self) -> IntegerNetwork:
        """The integer network that the forward pass computes in evaluation mode."""
        recipe = replace(self.recipe, rounding="nearest", seed=0)
        return round_network(replace(self._plan, network=self._float_network(), recipe=recipe))

    def _float_network(self) -> Network:
        return self.cells.network(self._plan, self._step)

    def calibrate(self, calibration: Any, memory: Any = None) -> None:
        """Choose all ranges anew, for the weights of now.

        Ranges do not grow with signals that grow as training goes on: what leaves them saturates.
        ``calibration`` and ``memory`` are as :func:`deltaloom.prepare` takes them. Gates with
        shift weights keep the scales of their weights, of which those are made.
        """
        found = make_plan(self._float_network(), calibration, self.recipe, memory=memory)
        found = keeping_shifts(self._plan, found)
        self._calibrated = replace(found, network=self._calibrated.network)
        if self.ranges:
            self.ranges.restart(found)

    def set_thresholds(self, theta: int | Mapping[str, Mapping[str, int]]) -> None:
        """Skip by other thresholds from now on, as when they are raised while training goes on.

        ``theta`` is as :class:`~deltaloom.Recipe` takes it; a checkpoint brings its own.
        """
        recipe = replace(self.recipe, theta=theta)
        check_recipe(recipe, self._calibrated.network)
        self._calibrated = replace(self._calibrated, recipe=recipe)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """What the module that it was made from returns, of the same arguments.

        It also takes lists of (time, features), for sequences of different lengths: instead of
        (batch, time, outputs) it returns a list of (time, outputs) then. As in torch, recurrent
        modules take and return packed sequences.
        """
        call, network = self._signature, self._calibrated.network
        taken = read_arguments(call, network.inputs, arguments, named)
        given = taken[INPUT]
        found = run_network(
            self._plan,
            self._rounding(),
            self.cells,
            {name: (part.values, part.lengths) for name, part in taken.items()},
            self._dtype,
            call.kept,
            self._step if self.ranges else None,
        )
        watched = self.recipe.skip == Skip.DELTA.value and torch.is_grad_enabled()
        self._last = found if watched else None
        values, lengths = found.streams[network.layers[-1].name]
        output = shape_output(call, given, values, lengths, network.once)
        if not call.stack:
            return output
        states = tuple(_final_states(call, given, found, name) for name in call.states)
        return output, states if len(states) > 1 else states[0]

    def delta_activity(self) -> Tensor:
        """How much the operands of all products changed in the last forward pass: a loss.

        The mean absolute difference from the value that was used last, as a share of its format's
        range, each element weighted with the products that it costs. Its derivative pushes
        towards slower signals, of which ``skip="delta"`` skips more (Neil et al. 2017).

        Raises
        ------
        DeltaloomError
            If the recipe does not skip by deltas, or no forward pass was made with gradients.
        """
        if self.recipe.skip != Skip.DELTA.value:
            raise DeltaloomError(
                f"Recipe skip must be 'delta' for a delta activity, not '{self.recipe.skip}'"
            )
        if self._last is None:
            raise DeltaloomError("Delta activity must follow a forward pass with gradients")
        found = self._last
        return delta_activity(
            [
                (layer, found.outputs[name].operands, found.streams[name][1])
                for name, layer in found.layers.items()
            ]
        )

    def get_extra_state(self) -> Tensor:
        """Recipe and formats, as the bytes of a JSON text."""
        return checkpoint.encode(self._plan)

    def set_extra_state(self, state: Any) -> None:
        """Take the formats of a checkpoint; raises unless its recipe and layers are ours."""
        self._calibrated = checkpoint.decode(state, self._calibrated)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}  # tensors with a history cannot be copied

    def _rounding(self) -> Recipe:
        """The recipe that rounds the weights of a forward pass."""
        if self.recipe.rounding == "stochastic" and self.training:
            return replace(self.recipe, seed=int(torch.randint(1 << 32, ())))
        return replace(self.recipe, rounding="nearest", seed=0)


def keeping_shifts(before: Plan, plan: Plan) -> Plan:
    """The plan with the weights' formats of another one in gates with weights trained by bits."""
    formats, old = formats_of(plan), formats_of(before)

    def gate(place: Place) -> tuple[str, str, str]:
        layer, field, name = place
        return layer, field, name.split(".")[0]

    kept = {gate(place) for place, format in old.items() if is_shift(format)}
    return with_formats(plan, formats | {p: old[p] for p in old if gate(p) in kept})


def _final_states(call: Call, given: Arguments, found: Pass, name: str) -> Tensor:
    """A state after each sequence's last timestep, (layers, batch, size) as torch has it."""
    last = torch.from_numpy(given.lengths) - 1
    states = [
        found.streams[layer][0][last, torch.arange(len(last))]
        if name == "h"
        else found.outputs[layer].states[name]
        for layer in call.stack
    ]
    stacked = torch.stack(states)
    stacked = stacked[:, 0] if given.kind == "sequence" else stacked
    shaped: Tensor = as_frames(stacked, call.grids[1])
    return shaped
