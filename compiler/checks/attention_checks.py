"""The rules of attention in integers."""

import numpy as np

from ..exact import MAX_EXACT, MAX_LEFT, MAX_RIGHT
from ..integer_attention import SCALE_FRAC, TABLES, IntegerAttention
from ..inverse import MANTISSA
from ..streams import MAX_WIDTH, is_count
from .rules import MAX_FRACTION, require
from .table_checks import check_table

__all__ = ["check_attention"]

MAX_ACCUMULATOR = 48
MAX_BUFFER = 1 << 24
MAX_OPERAND = 16
MAX_SIZE = 1 << 20
UNIT = 1 << SCALE_FRAC


def check_attention(layer: IntegerAttention) -> None:
    """Raise ``ValueError`` unless the layer keeps all rules."""
    layer.check()
    what = f"Layer {layer.name}"
    for name in ("size", "value_size"):
        count = getattr(layer, name)
        require(is_count(count, 1, MAX_SIZE), f"{what} must have a {name}, not {count!r}")
    formats = [*layer.operands, layer.weight]
    formats += [format for format in (layer.energy, layer.hidden) if format is not None]
    for format in formats:
        require(
            format.signed and format.width <= MAX_OPERAND and abs(format.frac) <= MAX_FRACTION,
            f"{what} must multiply signed numbers of at most {MAX_OPERAND} bits, not {format}",
        )
    require(
        layer.format.signed and layer.format.width <= MAX_WIDTH,
        f"{what} must give signed numbers of at most {MAX_WIDTH} bits, not {layer.format}",
    )
    require(
        UNIT <= layer.multiplier < 2 * UNIT and abs(layer.exponent) <= MAX_LEFT,
        f"{what} must have a scale with a multiplier from {UNIT} to {2 * UNIT - 1} and an "
        f"exponent within {MAX_LEFT}, not {layer.multiplier} and {layer.exponent}",
    )
    check_tables(layer)
    additive = layer.form == "additive"
    parts = (layer.energies, layer.energy, layer.hidden)
    require(
        all((part is not None) == additive for part in parts),
        f"{what} must have energies in the form 'additive' alone",
    )
    if layer.energies is not None:
        assert layer.energy is not None
        require(
            layer.energies.dtype == np.int64
            and layer.energies.shape == (layer.size,)
            and layer.energy.holds(layer.energies),
            f"Energies of layer {layer.name} must be {layer.size} integers of {layer.energy}",
        )
    require(
        layer.max_steps * (layer.size + layer.value_size) <= MAX_BUFFER,
        f"{what} must hold at most {MAX_BUFFER} elements, not {layer.max_steps} timesteps of "
        f"{layer.size} and {layer.value_size}",
    )
    check_ranges(layer)


def check_tables(layer: IntegerAttention) -> None:
    """The exponential gives weights, of which the largest one of all is not zero."""
    what = f"Layer {layer.name}"
    names = TABLES[layer.form]
    require(
        sorted(layer.tables) == sorted(names),
        f"{what} must have the tables {', '.join(names)}, not {', '.join(sorted(layer.tables))}",
    )
    for name in names:
        check_table(f"Table {layer.name}.{name}", layer.tables[name])
    exponential, reciprocal = layer.tables["exp"], layer.tables["reciprocal"]
    require(
        exponential.function == "softmax_weight"
        and exponential.target == layer.weight
        and exponential.bounds[0] >= 0
        and int(exponential(np.array([exponential.source.min]))[0]) > 0,
        f"{what} must have a table of exponentials of {layer.weight} that are not negative",
    )
    most = 3 << reciprocal.target.frac - 1 if reciprocal.target.frac > 0 else 0
    require(
        (reciprocal.function, reciprocal.source) == ("inverse_reciprocal", MANTISSA)
        and 0 <= reciprocal.bounds[0] <= reciprocal.bounds[1] <= most,
        f"{what} must have a table of reciprocals of at most 3/2",
    )
    if layer.form == "additive":
        tanh = layer.tables["tanh"]
        require(
            (tanh.function, tanh.target) == ("tanh", layer.hidden),
            f"{what} must have a table of tanh of {layer.hidden}",
        )


def check_ranges(layer: IntegerAttention) -> None:
    """Every exact value fits its width, with as many keys as there is room for too."""
    what = f"Layer {layer.name}"
    widest = max(layer.score.width, layer.weighted.width)
    require(
        widest <= MAX_ACCUMULATOR,
        f"Accumulator of layer {layer.name} must have at most {MAX_ACCUMULATOR} bits, not "
        f"{widest}: use fewer bits or a smaller max_steps",
    )
    require(
        layer.context.width <= MAX_EXACT,
        f"{what} must have at most {MAX_EXACT} bits of context to be exact, not "
        f"{layer.context.width}: use fewer bits for weights and values or a smaller max_steps",
    )
    shifts = [
        layer.difference.frac - layer.reach.frac,
        layer.scaled.frac - layer.exponents.frac,
        layer.context.frac - layer.format.frac,
    ]
    if layer.form == "additive":
        tanh = layer.tables["tanh"]
        spread = abs(layer.query.frac - layer.key.frac)
        require(
            spread <= MAX_LEFT and layer.hidden_sum.width <= MAX_EXACT,
            f"{what} must have queries and keys of similar scale, not {layer.query} and "
            f"{layer.key}",
        )
        shifts.append(layer.hidden_sum.frac - tanh.source.frac)
    require(
        all(-MAX_LEFT <= shift <= MAX_RIGHT for shift in shifts),
        f"{what} must shift by at most {MAX_LEFT} to the left and {MAX_RIGHT} to the right, "
        f"not {', '.join(map(str, shifts))} to the right: bring queries, keys and values to "
        f"similar scales",
    )
