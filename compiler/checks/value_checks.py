"""The rules of element-wise values: whatever a node can be fits its format."""

from collections.abc import Sequence

from ..encodings import UNIT_MULTIPLIER
from ..exact import (
    MAX_EXACT,
    MAX_LEFT,
    MAX_MULTIPLIER,
    MAX_RIGHT,
    MAX_SCALAR,
    Interval,
    combine,
    magnitude,
    rectify,
    repeated,
    rescale,
    scale,
)
from ..fixed import Format
from ..graph import (
    Activation,
    Affine,
    Binary,
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
)
from ..integer import IntegerLayer
from ..inverse import INVERSES, MANTISSA
from .rules import MAX_FRACTION, check_array, require
from .table_checks import check_table

__all__ = ["check_value"]

MAX_FACTOR = 1 << 20


def check_value(layer: IntegerLayer, node: Node, intervals: Sequence[Interval]) -> Interval:
    """Every value that a node can have fits its format; returns what these are."""
    what = f"Node {layer.name}.{node.name}"
    format = node.format
    assert format is not None
    operands = [intervals[operand] for operand in node.operands]
    formats = [layer.graph.nodes[operand].format for operand in node.operands]
    match node:
        case Input() | State() | Affine():
            return Interval.of(format)
        case Constant():
            values = layer.constants[node.name]
            check_array(what, values, (node.size,))
            require(format.holds(values), f"{what} must lie within {format}")
            return Interval(int(values.min()), int(values.max()), format.frac)
        case Rescale():
            shift = operands[0].frac - format.frac
            require(
                -MAX_LEFT <= shift <= MAX_RIGHT,
                f"{what} must shift by at most {MAX_LEFT} to the left and {MAX_RIGHT} to the "
                f"right, not {shift} to the right",
            )
            return rescale(operands[0], format)
        case Scale():
            widest = max(f.width for f in formats if f is not None)
            require(
                widest <= MAX_MULTIPLIER,
                f"{what} must have an operand of at most {MAX_MULTIPLIER} bits",
            )
            require(
                UNIT_MULTIPLIER < node.multiplier < 2 * UNIT_MULTIPLIER,
                f"{what} must have a multiplier between {UNIT_MULTIPLIER} and "
                f"{2 * UNIT_MULTIPLIER}, not {node.multiplier}",
            )
            return exact(what, scale(operands[0], node.multiplier), format)
        case Activation(function="relu"):
            require(formats == [format], f"{what} must keep its operand's format")
            return rectify(operands[0])
        case Activation(function="abs"):
            return exact(what, magnitude(operands[0]), format)
        case Reduce():
            count = layer.graph.nodes[node.operand].size
            return exact(what, repeated(operands[0], count), format)
        case Multiple():
            require(1 <= node.factor <= MAX_FACTOR, f"{what} must scale by 1 to {MAX_FACTOR}")
            return exact(what, repeated(operands[0], node.factor), format)
        case Inverse():
            return check_inverse(layer, node, formats[0])
        case Activation():
            table = layer.tables[node.name]
            check_table(what, table)
            require(
                (node.function, *formats, format) == (table.function, table.source, table.target),
                f"{what} must have the function and formats of its table",
            )
            return Interval(*table.bounds, format.frac)
        case Binary():
            shifts = [abs(operands[0].frac - operands[1].frac)]
            scalars = set(node.operands) <= layer.graph.scalars
            widest = MAX_SCALAR if scalars else MAX_MULTIPLIER
            limit = widest if isinstance(node, Mul) else MAX_EXACT
            widths = [f.width for f in formats if f is not None]
            require(max(widths) <= limit, f"{what} must have operands of at most {limit} bits")
            require(max(shifts) <= MAX_FRACTION, f"{what} must have operands of similar scale")
            return exact(what, combine(node, *operands), format)
        case _:
            raise ValueError(f"{what} must be a known operation")


def exact(what: str, interval: Interval, format: Format) -> Interval:
    require(interval.within(format), f"{what} must be exact, which {format} is not")
    return interval


def check_inverse(layer: IntegerLayer, node: Inverse, source: Format | None) -> Interval:
    """An inverse is of a scalar, by its table, with an epsilon in the scalar's units."""
    what = f"Node {layer.name}.{node.name}"
    table, target = layer.tables[node.name], node.format
    assert source is not None
    assert target is not None
    require(node.operand in layer.graph.scalars, f"{what} must be of a sum over a vector")
    require(node.function in INVERSES, f"{what} must be one of {', '.join(INVERSES)}")
    check_table(what, table)
    require(
        (table.function, table.source) == (node.table, MANTISSA) and table.bounds[0] >= 0,
        f"{what} must have a table of its own function",
    )
    epsilon = node.epsilon * 2.0**source.frac
    require(
        0 <= epsilon < 2.0**MAX_EXACT and epsilon == int(epsilon),
        f"Epsilon of {what} must be a multiple of the operand's last place, not {node.epsilon}",
    )
    require(target.width <= MAX_MULTIPLIER, f"{what} must have at most {MAX_MULTIPLIER} bits")
    return Interval(0, target.max, target.frac)
