"""Integer networks: layers with their formats, weights and tables, which golden model, cycle model
and hardware come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from .fixed import Format
from .inputs import NetworkInput
from .integer import IntegerLayer
from .integer_attention import IntegerAttention
from .stream_inference import (
    index_entries,
    infer_input_format,
    infer_input_size,
    stream_formats,
    stream_sizes,
)
from .streams import Pool, Reverse, StreamLayer
from .wiring import INPUT, Length, roots_of, sources_of, stream_lengths

__all__ = ["IntegerNetwork"]

T = TypeVar("T")


@dataclass(frozen=True)
class IntegerNetwork:
    """Integer layers between streams, as in :class:`~deltaloom.compiler.network.Network`.

    Each takes exactly the format that its source gives.

    Parameters
    ----------
    layers : tuple of IntegerLayer or StreamLayer
        In topological order.
    given_format : Format, optional
        Of the input, where no layer asks for one: it is summed, averaged or compared.
    given_memory : Format, optional
        The same of the memory.
    """

    layers: tuple[IntegerLayer | StreamLayer, ...]
    given_format: Format | None = None
    given_memory: Format | None = None

    @property
    def computing(self) -> tuple[IntegerLayer, ...]:
        """The cells, each an engine of its own."""
        return tuple(layer for layer in self.layers if isinstance(layer, IntegerLayer))

    @property
    def multiplying(self) -> tuple[IntegerLayer | IntegerAttention, ...]:
        """Cells and attention: what has lanes."""
        kinds = IntegerLayer | IntegerAttention
        return tuple(layer for layer in self.layers if isinstance(layer, kinds))

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """By layer: the streams that it takes."""
        return sources_of(self.layers)

    @cached_property
    def formats(self) -> dict[str, Format]:
        """By stream: the format of its elements."""
        return stream_formats(self.layers, self._input_formats)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """By stream: its features."""
        return stream_sizes(self.layers, self.input_sizes)

    @cached_property
    def lengths(self) -> dict[str, Length]:
        """By stream: how its timesteps follow from the input's."""
        return stream_lengths(self.layers)

    @cached_property
    def inputs(self) -> dict[str, NetworkInput]:
        """By name, in the order of the port: what the inputs take."""
        return {
            root: NetworkInput(
                root,
                format,
                self.input_sizes[root],
                index_entries(self.layers, root),
                self._least_steps(root),
                self._most_steps(root),
            )
            for root, format in self._input_formats.items()
        }

    def by_input(self, sequences: Sequence[T]) -> dict[str, Sequence[T]]:
        """What there is of each sequence, in the order of the port, for each of the inputs.

        Where there is a memory, that is in turn one of the memory and one of the input.
        """
        count = len(self._input_formats)
        if len(sequences) % count:
            raise ValueError(f"Sequences must come in pairs, and not be {len(sequences)}")
        return {root: sequences[at::count] for at, root in enumerate(self._input_formats)}

    def steps(self, layer: IntegerLayer | IntegerAttention, lengths: Sequence[int]) -> list[int]:
        """Timesteps that a layer runs for sequences with these timesteps."""
        own = self.lengths[layer.name]
        return [own.of(int(length)) for length in self.by_input(lengths)[own.root]]

    @cached_property
    def input_sizes(self) -> dict[str, int]:
        """Features of the input, and before it of the memory if there is one."""
        return {root: infer_input_size(self.layers, root) for root in roots_of(self.layers)}

    @cached_property
    def _input_formats(self) -> dict[str, Format]:
        found = {}
        for root in roots_of(self.layers):
            given = self.given_format if root == INPUT else self.given_memory
            format = infer_input_format(self.layers, root) or given
            if format is None:
                raise ValueError("Network must have a given format where no layer asks for one")
            found[root] = format
        return found

    @property
    def input_format(self) -> Format:
        return self._input_formats[INPUT]

    @property
    def port_width(self) -> int:
        """Bits of the input port: whole bytes that hold an element of each input."""
        return max(format.byte_width for format in self._input_formats.values())

    @property
    def output_format(self) -> Format:
        return self.formats[self.layers[-1].name]

    @property
    def input_size(self) -> int:
        return self.input_sizes[INPUT]

    @property
    def output_size(self) -> int:
        return self.sizes[self.layers[-1].name]

    def _least_steps(self, root: str) -> int:
        return max(length.least() for length in self.lengths.values() if length.root == root)

    def _most_steps(self, root: str) -> int | None:
        limited = [
            (self.lengths[self.sources[layer.name][0]], layer.max_steps)
            for layer in self.layers
            if isinstance(layer, Reverse) or (isinstance(layer, Pool) and layer.is_mean)
        ] + [
            (self.lengths[self.sources[layer.name][1]], layer.max_steps)
            for layer in self.layers
            if isinstance(layer, IntegerAttention)
        ]
        limits = [length.most(steps) for length, steps in limited if length.root == root]
        return min(limits, default=None)

    def longest(self, stream: str) -> int:
        """The most timesteps of a stream, where their number is limited; else 1.

        What is too short for a window goes on as one timestep in hardware.
        """
        length = self.lengths[stream]
        return max(1, length.of(self.inputs[length.root].max_steps or 1))

    @property
    def once(self) -> bool:
        """Whether the output is one vector a sequence."""
        return self.lengths[self.layers[-1].name].once
