"""Element-wise operations of the gate pipeline, one of each node."""

from amaranth.hdl import Const, Mux, Signal, signed

from ..compiler.fixed import Format
from ..compiler.graph import (
    Activation,
    Add,
    Affine,
    Inverse,
    Mul,
    Multiple,
    Reduce,
    Rescale,
    Scale,
    Sub,
)
from .inverse import Inverse as FixedInverse
from .multiplier import Multiplier
from .pwl import Activation as PiecewiseLinear
from .rescale import Rescale as Narrow
from .rescale import shape_of
from .scalar_multiplier import ScalarMultiplier

__all__ = ["operate"]


def operate(m, layer, position, operands, valid, unit, *, counts=False):
    """Add what computes a node of a layer's graph to ``m``; its value, of the node's format.

    It is there as many cycles after ``operands``, which are of one cycle, as
    :func:`~deltaloom.compiler.gate_schedule.gate_times` says. ``valid`` and ``unit`` say whose
    operands they are. With ``counts``, a rescale node's component says what its format cuts off.
    """
    nodes, scalars = layer.graph.nodes, layer.graph.scalars
    node = nodes[position]
    formats = [nodes[operand].format for operand in node.operands]
    match node:
        case Rescale():
            source = formats[0]
            rounded = isinstance(nodes[node.operand], Affine)
            if rounded:
                source = Format(len(operands[0]), source.frac)
            narrow = Narrow(source, node.format, rounded=rounded, counts=counts)
            value = placed(m, node, narrow, operands[0])
        case Activation(function="relu"):
            value = Signal(shape_of(node.format), name=node.name)
            m.d.comb += value.eq(Mux(operands[0] < 0, 0, operands[0]))
        case Activation(function="abs"):
            value = Signal(shape_of(node.format), name=node.name)
            m.d.comb += value.eq(Mux(operands[0] < 0, -operands[0], operands[0]))
        case Multiple():
            factor = Const(node.factor, signed(node.factor.bit_length() + 1))
            value = multiply(m, node, operands[0], factor, position in scalars)
        case Reduce():
            value = running_sum(m, node, operands[0], valid, unit)
        case Inverse():
            value = placed(m, node, FixedInverse(layer.inverse(node)), operands[0])
        case Activation():
            value = placed(m, node, PiecewiseLinear(layer.tables[node.name]), operands[0])
        case Mul():
            value = multiply(m, node, *operands, set(node.operands) <= scalars)
        case Scale():
            factor = Const(node.multiplier, signed(node.multiplier.bit_length() + 1))
            value = multiply(m, node, operands[0], factor, False)
        case Add() | Sub():
            a, b = (
                operand << (node.format.frac - format.frac)
                for operand, format in zip(operands, formats, strict=True)
            )
            value = Signal(shape_of(node.format), name=node.name)
            m.d.comb += value.eq(a + b if isinstance(node, Add) else a - b)
        case _:
            raise AssertionError(f"no hardware for {node}")
    return value


def placed(m, node, component, operand):
    """The result of a component with an input ``i`` and an output ``o``."""
    m.submodules[node.name] = component
    m.d.comb += component.i.eq(operand)
    return component.o


def multiply(m, node, a, b, scalars):
    kind = ScalarMultiplier if scalars else Multiplier
    m.submodules[node.name] = unit = kind(len(a), len(b))
    value = Signal(shape_of(node.format), name=node.name)
    m.d.comb += [unit.a.eq(a), unit.b.eq(b), value.eq(unit.p)]
    return value


def running_sum(m, node, value, valid, unit):
    """The running sum over a vector's units, which is whole when the last one has come."""
    total = Signal(shape_of(node.format), name=node.name, reset_less=True)
    with m.If(valid):
        m.d.sync += total.eq(Mux(unit == 0, 0, total) + value)
    return total
