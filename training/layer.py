"""A layer of the golden model as a differentiable function of torch tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..compiler.integer import IntegerLayer, Operand
from ..sim.layer_golden import watch_layer
from .gradient import LayerGradient
from .history import History
from .rounding import LN2
from .walk import Gradients

__all__ = ["LayerOutput", "run_layer"]

SINGLE = 24
"""Bits of the widest integers that float32 holds; what is wider comes as float64."""


@dataclass(frozen=True)
class LayerOutput:
    """What a layer computed, as real values.

    Parameters
    ----------
    values : torch.Tensor
        (time, batch, units).
    states : dict of str to torch.Tensor
        By state: (batch, size) after each sequence's last timestep, of those asked for.
    operands : dict of str to torch.Tensor
        By operand: (time, batch, size), the values that its products stand for.
    """

    values: Tensor
    states: dict[str, Tensor]
    operands: dict[str, Tensor]


@dataclass(frozen=True)
class _Run:
    layer: IntegerLayer
    names: tuple[str, ...]
    steps: tuple[int, ...]
    states: tuple[int, ...]
    operands: tuple[Operand, ...]
    lengths: np.ndarray
    differentiable: bool


def run_layer(
    layer: IntegerLayer,
    values: Tensor,
    parameters: Mapping[str, Tensor],
    lengths: np.ndarray,
    states: tuple[str, ...] = (),
    steps: Mapping[int, Tensor] | None = None,
    *,
    operands: bool = True,
) -> LayerOutput:
    """Run a layer through the golden model.

    Parameters
    ----------
    layer : IntegerLayer
        What computes.
    values : torch.Tensor
        Real values of the layer's input format, (time, batch, features).
    parameters : mapping of str to torch.Tensor
        Real values of the layer's weights, biases and constants, by name: they get the
        derivatives.
    lengths : numpy.ndarray
        Timesteps of each sequence, (batch,).
    states : tuple of str
        States that are asked for.
    steps : mapping of int to torch.Tensor, optional
        By position of a rescale node: the exponent of its format's step, if it is learned.
    operands : bool
        Whether the values of operands are asked for.
    """
    steps = steps or {}
    graph = layer.graph
    positions = [p for p, node in enumerate(graph.nodes) if node.name in states]
    needed = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (values, *parameters.values(), *steps.values())
    )
    watched = layer.operands if operands else ()
    run = _Run(layer, tuple(parameters), tuple(steps), tuple(positions), watched, lengths, needed)
    outputs, *others = _LayerFunction.apply(run, values, *parameters.values(), *steps.values())
    names = [graph.nodes[p].name for p in positions]
    return LayerOutput(
        outputs,
        dict(zip(names, others[: len(names)], strict=True)),
        dict(zip((o.name for o in watched), others[len(names) :], strict=True)),
    )


class _LayerFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, values: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        layer, graph, dtype = run.layer, run.layer.graph, values.dtype
        arrays = {name: t.numpy() for name, t in zip(run.names, parameters, strict=False)}
        gradient = None
        if run.differentiable:
            gradient = LayerGradient(layer, arrays, values.numpy().dtype, run.steps)
        wanted = gradient.wanted if gradient else frozenset()
        following = [graph.next_of(position) for position in run.states]
        history = History(wanted | set(following))
        integers = (values.double() * 2.0**layer.input_format.frac).long().numpy()
        watch = history if gradient or following else None
        outputs, used = watch_layer(layer, integers, watch)
        if gradient:
            ctx.set_materialize_grads(False)
            ctx.run, ctx.gradient, ctx.history, ctx.used = run, gradient, history, used

        def real(position: int, integers: np.ndarray) -> Tensor:
            format = graph.nodes[position].format
            assert format is not None
            exact = torch.from_numpy(format.dequantize(integers))
            return exact if format.width > SINGLE else exact.to(dtype)

        return (
            real(graph.output, outputs),
            *(real(p, _ends(history, p, run.lengths)) for p in following),
            *(real(operand.node, used[operand.name]) for operand in run.operands),
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        run = ctx.run
        kind = ctx.gradient.kind
        arrays = [None if grad is None else grad.numpy().astype(kind, copy=False) for grad in grads]
        states = dict(zip(run.states, arrays[1 : 1 + len(run.states)], strict=True))
        names = [operand.name for operand in run.operands]
        operands = dict(zip(names, arrays[1 + len(run.states) :], strict=True))
        given = Gradients(
            outputs=arrays[0],
            states={p: grad for p, grad in states.items() if grad is not None},
            operands={name: grad for name, grad in operands.items() if grad is not None},
        )
        needed = ctx.needs_input_grad[1]
        found = ctx.gradient.run(ctx.history, ctx.used, run.lengths, given, inputs=needed)
        return (
            None,
            torch.from_numpy(found.inputs) if needed else None,
            *(torch.from_numpy(found.parameters[name]) for name in run.names),
            *(torch.tensor(LN2 * found.steps[position]) for position in run.steps),
        )


def _ends(history: History, position: int, lengths: np.ndarray) -> np.ndarray:
    """A node's integers (batch, size) in each sequence's last timestep."""
    return np.stack(
        [history.values[length - 1][position][place] for place, length in enumerate(lengths)]
    )
