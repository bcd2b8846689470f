"""Attention in a model's graph, in one operation or spelled out in several, for every front end."""

from dataclasses import dataclass, replace

import numpy as np

from ..attention import Attention
from ..axes import BATCH_FIRST, axes_text
from ..errors import UnsupportedError
from .stream_context import Context
from .tensors import Stream

__all__ = [
    "Met",
    "Part",
    "Scores",
    "Times",
    "Weights",
    "attend",
    "attend_products",
    "check_axes",
    "meet",
    "score",
]

ONE = "one"


@dataclass(frozen=True)
class Part:
    """What lies between the streams that attention takes and the one that it gives."""

    @property
    def text(self) -> str:
        """What sentences say of it."""
        return (
            "a part of attention; supported is softmax of the scores of queries and keys, times "
            "the values"
        )


@dataclass(frozen=True)
class Times(Part):
    """A stream of queries or keys, times a number."""

    stream: Stream
    factor: float


@dataclass(frozen=True)
class Met(Part):
    """Every query and every key added up, (batch, queries, keys, features); ``bent`` by tanh."""

    query: Stream
    key: Stream
    bent: bool = False

    def scores(self, context: Context, energies: np.ndarray) -> "Scores":
        """Products with a vector of energies, or with a matrix of one column."""
        if not self.bent:
            raise context.refusal("adds up queries and keys", "tanh of the sums")
        flat = energies.astype(np.float64).ravel()
        if energies.shape not in ((flat.size,), (flat.size, 1)):
            raise context.refusal(f"has energies of shape {energies.shape}", "one vector")
        return Scores(self.query, self.key, energies=flat, column=energies.ndim > 1)


@dataclass(frozen=True)
class Scores(Part):
    """What softmax makes weights of, (batch, queries, keys).

    Those of a ``column`` are (..., keys, 1), those of a ``head`` (batch, 1, queries, keys).
    """

    query: Stream
    key: Stream
    factor: float = 1.0
    energies: np.ndarray | None = None
    column: bool = False
    head: bool = False

    def times(self, factor: float) -> "Scores":
        return replace(self, factor=self.factor * factor)

    def squeezed(self, context: Context, axis: int) -> "Scores":
        """Without the last axis, which is one long."""
        if not self.column or axis not in (-1, 3):
            raise context.refusal(f"drops axis {axis} of the scores", "one that is one long")
        return replace(self, column=False)

    def weights(self, context: Context, axis: int) -> "Weights":
        """Their softmax."""
        if self.column or axis not in (-1, 2 + self.head):
            raise context.refusal(f"runs over axis {axis} of the scores", "the keys, the last one")
        return Weights(self)


@dataclass(frozen=True)
class Weights(Part):
    """Softmax of scores."""

    scores: Scores

    def of(self, context: Context, value: Stream) -> Stream:
        """Weighted sums of the values."""
        found = self.scores
        axes = (BATCH_FIRST[0], ONE, *BATCH_FIRST[1:]) if found.head else BATCH_FIRST
        if value.axes != axes:
            raise context.axis_error(value, axes_text(axes))
        value = value.without(1) if found.head else value
        scale, energies, form = found.factor, found.energies, "dot"
        if energies is not None:
            energies, form = energies * scale, "additive"
        sums = attend(
            context,
            [found.query, found.key, value],
            form,
            False,
            scale=scale if energies is None else None,
            energies=energies,
        )
        return sums.inserted(1) if found.head else sums


def score(context: Context, query: Stream | Times, key: Stream | Times) -> Scores:
    """Products of queries (batch, time, features) and keys (batch, features, time), or a head's."""
    streams = [part.stream if isinstance(part, Times) else part for part in (query, key)]
    head = all(len(stream.axes) == 4 and stream.axes[1] == ONE for stream in streams)
    if head:
        streams = [stream.without(1) for stream in streams]
    factors = [part.factor if isinstance(part, Times) else 1.0 for part in (query, key)]
    turned = (BATCH_FIRST[0], BATCH_FIRST[2], BATCH_FIRST[1])
    if streams[1].axes != turned:
        raise context.axis_error(streams[1], axes_text(turned))
    check_query(context, streams[0], BATCH_FIRST)
    keys = streams[1].permuted([0, 2, 1], context.subject)
    return Scores(streams[0], keys, factors[0] * factors[1], head=head)


def meet(query: Stream, key: Stream) -> Met | None:
    """Sums of queries (batch, time, 1, features) and keys (batch, 1, time, features), if so."""
    apart = (*BATCH_FIRST[:2], ONE, BATCH_FIRST[2]), (BATCH_FIRST[0], ONE, *BATCH_FIRST[1:])
    if query.axes == apart[1] and key.axes != apart[1]:
        query, key = key, query
    single = (BATCH_FIRST[0], ONE, ONE, BATCH_FIRST[2])
    if key.axes != apart[1] or query.axes not in (apart[0], single):
        return None
    return Met(query.without(2), key.without(1))


def check_axes(
    context: Context, axes: tuple[str, ...], query: Stream, memory: Stream, causal: bool
) -> None:
    """What is attended to has timesteps; so has a query, unless it is one for a sequence."""
    if memory.axes != axes:
        raise context.axis_error(memory, axes_text(axes))
    if causal and query.axes != axes:
        raise context.axis_error(query, axes_text(axes))
    check_query(context, query, axes)


def check_query(context: Context, query: Stream, axes: tuple[str, ...]) -> None:
    single = tuple(ONE if axis == "time" else axis for axis in axes)
    if query.axes not in (axes, single):
        raise context.axis_error(query, axes_text(axes))


def attend_products(
    context: Context, streams: list[Stream], causal: bool, scale: float | None
) -> Stream:
    """Attention in one operation: (batch, time, features), or (batch, 1, time, features)."""
    headed = all(len(stream.axes) == 4 and stream.axes[1] == ONE for stream in streams)
    if headed:
        streams = [stream.without(1) for stream in streams]
    query, key, value = streams
    check_axes(context, BATCH_FIRST, query, key, causal)
    check_axes(context, BATCH_FIRST, key, value, True)
    found = attend(context, streams, "dot", causal, scale=scale, energies=None)
    return found.inserted(1) if headed else found


def attend(
    context: Context,
    streams: list[Stream],
    form: str,
    causal: bool,
    *,
    scale: float | None,
    energies: np.ndarray | None,
) -> Stream:
    """Attention of streams of queries, keys and values."""
    builder = context.builder
    if any(len(stream.parts) > 1 for stream in streams):
        raise UnsupportedError(
            f"{context.subject} reads several layers or directions; supported is one of each"
        )
    (query,), (key,), (value,) = (stream.parts for stream in streams)
    steps = builder.steps(key)
    if steps is None:
        raise context.refusal(
            "keeps a sequence and needs the timesteps of the longest", "max_steps that is given"
        )
    layer = Attention(
        context.fresh(),
        form,
        causal,
        steps,
        scale=scale,
        energies=energies,
        sources=(query, key, value),
    )
    return streams[0].with_features(builder.add(layer), streams[2].size("features"))
