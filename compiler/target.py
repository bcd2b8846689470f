"""What a family of devices offers to a design, as far as a schedule depends on it."""

from dataclasses import dataclass

__all__ = ["GENERIC", "SMALL_MEMORY", "Target"]

SMALL_MEMORY = 64
"""Words up to which a memory takes fewer resources outside of block RAM."""


@dataclass(frozen=True)
class Target:
    """Properties of a device family.

    Parameters
    ----------
    lane_multipliers : bool
        Whether lanes use multiplier blocks; else they multiply in logic, and the blocks are left
        to the gate pipeline.
    distributed_memory : bool
        Whether small memories can be made of logic cells.
    """

    lane_multipliers: bool = True
    distributed_memory: bool = True


GENERIC = Target()
