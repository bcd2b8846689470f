"""The rules that every integer network keeps, whoever made it."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .conv_checks import check_convolutions
from .encodings import UNIT_MULTIPLIER
from .exact import (
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
from .fixed import Format
from .graph import (
    Activation,
    Affine,
    Binary,
    Constant,
    Graph,
    Input,
    Inverse,
    Mul,
    Multiple,
    Node,
    Path,
    Reduce,
    Rescale,
    Scale,
    State,
)
from .integer import MAX_ACCUMULATOR, MAX_ALIGNMENT, IntegerLayer, IntegerNetwork, Skip
from .inverse import INVERSES, MANTISSA
from .pwl import FUNCTIONS, MAX_SLOPE, MAX_WORD, PiecewiseLinear
from .pwl_adaptive import MAX_SEGMENTS
from .stages import levels_of, scalar_readers
from .streams import ArgMax, LastStep, Pool, Reverse
from .wiring import INPUT, check_wiring, stream_formats, stream_sizes

__all__ = ["check_layer", "check_network"]

MAX_NODES = 1024
MAX_SIZE = 1 << 20
MAX_BUFFER = 1 << 24
MAX_FRACTION = 256
MAX_PARAMETER = 16
MAX_FACTOR = 1 << 20
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def check_network(network: IntegerNetwork) -> None:
    """Raise ``ValueError`` unless the network keeps all rules, those of its layers included."""
    require(bool(network.computing), "Network must have at least one layer that computes")
    for layer in network.computing:
        check_layer(layer)
    check_wiring(network.layers)
    sizes = stream_sizes(network.layers, network.input_size)
    for name, size in sizes.items():
        require(1 <= size <= MAX_SIZE, f"Stream {name} must have 1 to {MAX_SIZE} features")
    for part in network.layers:
        if isinstance(part, Pool):
            require(part.function == "max", f"Layer {part.name} must have the function 'max'")
        if isinstance(part, Reverse):
            require(
                part.max_steps * sizes[part.name] <= MAX_BUFFER,
                f"Layer {part.name} must hold at most {MAX_BUFFER} elements, not "
                f"{part.max_steps} timesteps of {sizes[part.name]}",
            )
    formats = stream_formats(network.layers, network.input_format)
    for name, format in formats.items():
        check_format(f"Stream {name}", format, MAX_EXACT)
    check_marks(network)


def check_marks(network: IntegerNetwork) -> None:
    """A selection of the last timestep needs to know of it from its first element on.

    On the input only its last element tells; what a cell or a reversal gives is marked throughout.
    """
    marked = {INPUT: False}
    for layer in network.layers:
        sources = network.sources[layer.name]
        known = all(marked[source] for source in sources)
        require(
            known or not isinstance(layer, LastStep | Pool),
            f"Layer {layer.name} must take the timesteps of what a cell gives, not of {sources[0]}",
        )
        marked[layer.name] = known or isinstance(layer, IntegerLayer | Reverse | ArgMax)


def check_layer(layer: IntegerLayer) -> None:
    """Raise ``ValueError`` unless the layer keeps all rules."""
    graph = layer.graph
    check_shape(layer.name, graph)
    affines = [node for _, node in graph.of(Affine)]
    for affine in affines:
        for path in affine.paths:
            check_path(layer, affine, path)
    check_stages(layer)
    check_theta(layer)
    check_names("weights", layer, {a.key(p) for a in affines for p in a.paths}, set(layer.weights))
    check_names("biases", layer, {a.name for a in affines}, set(layer.biases))
    constants = {node.name for _, node in graph.of(Constant)}
    check_names("constants", layer, constants, set(layer.constants))
    tabled = {node.name for node in graph.nodes if node.table is not None}
    check_names("tables", layer, tabled, set(layer.tables))
    for affine in affines:
        check_accumulator(layer, affine)
    intervals: list[Interval] = []
    for node in graph.nodes:
        intervals.append(check_value(layer, node, intervals))


def check_names(what: str, layer: IntegerLayer, wanted: set[str], got: set[str]) -> None:
    require(
        wanted == got, f"Layer {layer.name} must have {what} {sorted(wanted)}, not {sorted(got)}"
    )


def check_shape(layer: str, graph: Graph) -> None:
    """Names, sizes, positions and the presence of formats."""
    require(len(graph.nodes) <= MAX_NODES, f"Layer {layer} must have at most {MAX_NODES} nodes")
    names = [node.name for node in graph.nodes]
    require(len(set(names)) == len(names), f"Nodes of layer {layer} must have different names")
    kinds = [type(node) for node in graph.nodes]
    require(kinds.count(Input) == 1, f"Layer {layer} must have one input")
    for position, node in enumerate(graph.nodes):
        what = f"Node {layer}.{node.name}"
        require(NAME.fullmatch(node.name) is not None, f"{what} must have an identifier as name")
        require(1 <= node.size <= MAX_SIZE, f"{what} must have 1 to {MAX_SIZE} elements")
        check_format(what, node.format, MAX_EXACT)
        earlier = all(0 <= operand < position for operand in node.operands)
        require(earlier, f"{what} must read earlier nodes")
        if isinstance(node, Affine):
            require(bool(node.paths), f"{what} must have a path")
            require(len(set(node.operands)) == len(node.operands), f"{what} must read a node once")
        elif isinstance(node, Reduce):
            require(node.size == 1, f"{what} must have one element")
        else:
            vectors = [p for p in node.operands if p not in graph.scalars] or node.operands
            equal = all(graph.nodes[operand].size == node.size for operand in vectors)
            require(equal, f"{what} must have the size of its operands")
    states = [node for _, node in graph.of(State)]
    ends = (*graph.next_states, graph.output)
    require(
        all(0 <= end < len(graph.nodes) for end in ends),
        f"Output and next states of layer {layer} must be nodes",
    )
    require(len(states) == len(graph.next_states), f"Layer {layer} must have a next value a state")
    for state, following in zip(states, graph.next_states, strict=True):
        node = graph.nodes[following]
        require(
            (state.size, state.format) == (node.size, node.format),
            f"State {layer}.{state.name} must keep its size and format",
        )
    check_affine_readers(layer, graph)
    check_convolutions(layer, graph)


def check_affine_readers(layer: str, graph: Graph) -> None:
    """An affine is read by one rescale and by nothing else."""
    reads: list[list[Node]] = [[] for _ in graph.nodes]
    for node in graph.nodes:
        for operand in set(node.operands):
            reads[operand].append(node)
    for position, affine in graph.of(Affine):
        alone = len(reads[position]) == 1 and isinstance(reads[position][0], Rescale)
        require(
            alone and position not in (*graph.next_states, graph.output),
            f"Affine {layer}.{affine.name} must be read by one rescale alone",
        )


def check_format(what: str, format: Format | None, width: int) -> Format:
    require(format is not None, f"{what} must have a format")
    assert format is not None
    require(
        format.signed and 1 <= format.width <= width and abs(format.frac) <= MAX_FRACTION,
        f"{what} must have a signed format of at most {width} bits, not {format}",
    )
    return format


def check_path(layer: IntegerLayer, affine: Affine, path: Path) -> None:
    """A path reads the input, a state, a rounding of one, or what the timestep has computed."""
    what = f"Path {layer.name}.{affine.key(path)}"
    format = check_format(what, path.format, MAX_PARAMETER)
    encoding = path.encoding
    require(
        encoding is not None and encoding.width == format.width,
        f"{what} must have an encoding of {format.width} bits in two's complement, not {encoding}",
    )
    node = layer.graph.nodes[path.operand]
    source = layer.graph.nodes[node.operand] if isinstance(node, Rescale) else node
    require(not isinstance(source, Constant), f"{what} must not read a constant")
    check_format(f"Operand of {what}", node.format, MAX_PARAMETER)
    known = {n.name for n in layer.graph.nodes if isinstance(n, Input | State)}
    if isinstance(source, Input | State):
        require(path.name == source.name, f"{what} must be named after {source.name}")
    else:
        require(NAME.fullmatch(path.name) is not None, f"{what} must have an identifier as name")
        require(path.name not in known, f"{what} must not be named after {path.name}")
    for _, other in layer.graph.of(Affine):
        for same in other.paths:
            require(
                (same.name == path.name) == (same.operand == path.operand),
                f"{what} must read its operand in the format of {other.key(same)}",
            )


def check_stages(layer: IntegerLayer) -> None:
    """Each stage multiplies at most the input and one vector more, which it waits for.

    The first one's is a state, those of the others are what the stage before computed; and the
    state comes from the last stage, so that a timestep is over before the next one begins.
    """
    graph = layer.graph
    what = f"Layer {layer.name}"
    levels, affines = levels_of(layer), dict(graph.of(Affine))
    last = max(levels[position] for position in affines)
    require(
        {levels[position] for position in affines} == set(range(last + 1)),
        f"{what} must multiply what a stage computes from products in the stage that follows it",
    )
    check_scalars(layer, levels, last)
    for stage in layer.stages[: last + 1]:
        sources = [type(graph.nodes[layer.operands[p].source]) for p in stage.operands]
        awaited = [kind for kind in sources if kind is not Input]
        if stage.number:
            require(
                len(awaited) == 1 and awaited[0] is not State,
                f"{what} must multiply one vector that it computes, and nothing but the input "
                f"beside it",
            )
        else:
            require(
                sources in ([Input], [Input, State]),
                f"{what} must multiply its input, and at most one state, with weights",
            )
        sizes = {graph.nodes[position].size for position in stage.affines}
        require(len(sizes) == 1, f"{what} must have gates of one size, not {sorted(sizes)}")
    for stage in layer.stages:
        vectors = [position for position in stage.nodes if position not in graph.scalars]
        equal = all(graph.nodes[position].size == stage.size for position in vectors)
        require(equal, f"{what} must compute vectors of the size of their gates")
    states = [o for o in layer.operands if isinstance(graph.nodes[o.source], State)]
    following = [graph.next_of(operand.source) for operand in states]
    if last:
        require(
            bool(states) and all(n in layer.stages[last].nodes for n in following),
            f"{what} must multiply a state that the last of its {last + 1} stages gives",
        )
    held = [c.writer for stage in layer.stages for c in stage.crossings if c.held]
    given = max((levels[position] for position in following), default=0)
    require(
        max(held, default=0) <= given,
        f"{what} must give the state that it multiplies after every state that an earlier pass "
        f"reads",
    )
    single = len(layer.stages) == 1
    require(single or not layer.convolutional, f"{what} must not have convolutions in stages")


def check_scalars(layer: IntegerLayer, levels: dict[int, int], last: int) -> None:
    """Sums over vectors go into the pass that follows; there is one stage of products then."""
    graph = layer.graph
    for position in sorted(graph.scalars):
        what = f"Node {layer.name}.{graph.nodes[position].name}"
        ends = (*graph.next_states, graph.output)
        require(position not in ends, f"{what} must not be an output or a state: it is a scalar")
        readers = scalar_readers(graph, levels, position)
        require(
            readers <= {levels[position] + 1},
            f"{what} must go into vectors of the pass that follows it alone",
        )
    require(
        not graph.scalars or not last,
        f"Layer {layer.name} must not have sums over vectors beside products of products",
    )


def check_theta(layer: IntegerLayer) -> None:
    widths = {operand.name: operand.format.width for operand in layer.operands}
    for name, theta in layer.theta.items():
        what = f"Threshold of {layer.name}.{name}"
        require(name in widths, f"{what} must name an operand, which are {sorted(widths)}")
        require(0 <= theta < 1 << widths[name], f"{what} must be below its range, not {theta}")
        exact = theta == 0 or layer.skip is Skip.DELTA
        require(exact, f"{what} must be 0 with skip {layer.skip.value}")


def check_array(what: str, values: np.ndarray, shape: Sequence[int]) -> None:
    require(values.dtype == np.int64, f"{what} must be int64, not {values.dtype}")
    require(values.shape == shape, f"{what} must have shape {shape}, not {values.shape}")


def check_accumulator(layer: IntegerLayer, affine: Affine) -> None:
    """Parameters have their shapes and formats, and no input makes the accumulator overflow."""
    what = f"Accumulator of {layer.name}.{affine.name}"
    format = check_format(what, affine.format, MAX_ACCUMULATOR)
    for path in affine.paths:
        name = f"Weights {layer.name}.{affine.key(path)}"
        weights = layer.weights[affine.key(path)]
        check_array(
            name, weights, (affine.rows, path.columns(layer.graph.nodes[path.operand].size))
        )
        assert path.encoding is not None
        require(path.encoding.holds(weights), f"{name} must be {path.encoding}")
        shift = layer.shift(affine, path)
        require(
            0 <= shift <= MAX_ALIGNMENT,
            f"{name} must be aligned by 0 to {MAX_ALIGNMENT} bits, not {shift}",
        )
    bias = layer.biases[affine.name]
    check_array(f"Bias {layer.name}.{affine.name}", bias, (affine.rows,))
    require(format.holds(bias), f"Bias {layer.name}.{affine.name} must lie within {format}")
    bound = int((layer.row_bounds(affine) + np.abs(bias).astype(object)).max())
    require(bound <= format.max, f"{what} must hold {bound}, which {format} does not")


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


def check_table(what: str, table: PiecewiseLinear) -> None:
    """A table has one line a segment, fits its memory word, and never leaves its target."""
    require(table.function in FUNCTIONS, f"{what} must have a function of {', '.join(FUNCTIONS)}")
    check_format(f"Input of {what}", table.source, MAX_MULTIPLIER)
    check_format(what, table.target, MAX_MULTIPLIER)
    segments = len(table.base)
    if table.knots is None:
        require(
            0 < segments <= 1 << table.source.width and segments & (segments - 1) == 0,
            f"{what} must have a power of two of segments, at most one an input, not {segments}",
        )
    else:
        check_knots(what, table)
    check_array(f"Base of {what}", table.base, (segments,))
    check_array(f"Slope of {what}", table.slope, (segments,))
    require(0 <= table.shift <= MAX_WORD, f"{what} must shift by 0 to {MAX_WORD} bits")
    word = table.base_width + (table.slope_width if table.knots is None else 0)
    require(
        word <= MAX_WORD and table.slope_width <= MAX_SLOPE,
        f"{what} must fit words of {MAX_WORD} bits with slopes of {MAX_SLOPE}",
    )
    low, high = table.bounds
    require(
        table.target.min <= low and high <= table.target.max,
        f"{what} must stay within {table.target}, not reach {low} and {high}",
    )


def check_knots(what: str, table: PiecewiseLinear) -> None:
    """Knots begin the segments but the first, each within the input's range."""
    knots, segments = table.knots, len(table.base)
    assert knots is not None
    require(
        0 < segments <= MAX_SEGMENTS,
        f"{what} must have 1 to {MAX_SEGMENTS} segments between knots, not {segments}",
    )
    check_array(f"Knots of {what}", knots, (segments - 1,))
    ends = [table.source.min, *knots.tolist(), table.source.max + 1]
    require(
        all(before < after for before, after in pairwise(ends)),
        f"Knots of {what} must ascend within {table.source}",
    )
