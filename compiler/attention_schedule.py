"""How attention is folded on its lanes. Nothing here can change a bit of the result."""

from dataclasses import dataclass

from .gate_schedule import (
    ACTIVATION_LATENCY,
    INVERSE_LATENCY,
    MULTIPLIER_LATENCY,
    RESCALE_LATENCY,
    SCALAR_LATENCY,
)
from .integer_attention import IntegerAttention
from .stage_schedule import ENCODER_LATENCY, ENTRY_LATENCY
from .target import Target

__all__ = ["AttentionSchedule"]

FORGET_LATENCY = 3  # the last walk's end to the first write of the next sequence: reads under way
SUM_LATENCY = 1  # accumulators to the first of a block's sums that leaves
DIFFERENCE_LATENCY = 2  # a score's address to its distance from the largest
TOTAL_LATENCY = 1  # a weight to the sum that contains it


@dataclass(frozen=True)
class AttentionSchedule:
    """Attention on its lanes.

    Scores are computed for as many keys at once as there are lanes, one element of the query
    after the other; and weighted sums for as many elements of a value, one weight after the
    other. So a word of the memory has an element of several keys, or several elements of a value.

    Parameters
    ----------
    layer : IntegerAttention
        What is computed.
    lanes : int
        Multiply-accumulate lanes.
    target : Target
        What the device family offers.
    """

    layer: IntegerAttention
    lanes: int
    target: Target

    forget_latency = FORGET_LATENCY
    sum_latency = SUM_LATENCY

    @property
    def accumulator_width(self) -> int:
        return self.layer.accumulator_width

    @property
    def key_blocks(self) -> int:
        """Words that hold an element of all keys there is room for."""
        return -(-self.layer.max_steps // self.lanes)

    @property
    def value_blocks(self) -> int:
        """Words that hold a value."""
        return -(-self.layer.value_size // self.lanes)

    @property
    def key_words(self) -> int:
        return self.key_blocks * self.layer.size

    @property
    def words(self) -> int:
        """Words of the memory: keys by block and element, then values by block and timestep."""
        return self.key_words + self.value_blocks * self.layer.max_steps

    @property
    def element_width(self) -> int:
        """Bits of a lane's part of a word."""
        return max(self.layer.key.width, self.layer.value.width)

    @property
    def units(self) -> int:
        """Elements of the output that a full block gives."""
        return min(self.lanes, self.layer.value_size)

    @property
    def tail_units(self) -> int:
        """Those of the last block."""
        return self.layer.value_size - (self.value_blocks - 1) * self.lanes

    @property
    def dense_cycles(self) -> int:
        """Cycles of a query that meets as many keys as there is room for, list walks alone."""
        return self.key_words + self.value_blocks * self.layer.max_steps

    @property
    def hidden_latency(self) -> int:
        """Cycles that a score takes longer than a weighted sum: for the tanh of its sums."""
        if self.layer.form == "dot":
            return 0
        return 1 + RESCALE_LATENCY + ACTIVATION_LATENCY

    @property
    def score_latency(self) -> int:
        """Cycles from an entry of the query to the sums that contain its product."""
        return ENTRY_LATENCY + self.hidden_latency

    @property
    def weight_latency(self) -> int:
        """Cycles from a score's address to its weight."""
        scaling = RESCALE_LATENCY + MULTIPLIER_LATENCY + RESCALE_LATENCY
        return DIFFERENCE_LATENCY + scaling + ACTIVATION_LATENCY

    @property
    def listing_latency(self) -> int:
        """Cycles from a score's address until the walk sees its weight in the list."""
        return self.weight_latency + ENCODER_LATENCY

    @property
    def output_latency(self) -> int:
        """Cycles from a weighted sum that leaves to the element in the output queue."""
        return SCALAR_LATENCY + RESCALE_LATENCY

    @property
    def output_depth(self) -> int:
        """Elements that the output queue holds, so that only the sequencer has to wait."""
        flight = ENTRY_LATENCY + SUM_LATENCY + self.output_latency
        return 1 << (2 * self.units + flight + 4 - 1).bit_length()

    def check(self) -> None:
        """The reciprocal of the sum of weights is there before the first weighted sum leaves."""
        ready = TOTAL_LATENCY + INVERSE_LATENCY
        assert ready <= ENCODER_LATENCY + ENTRY_LATENCY + SUM_LATENCY
