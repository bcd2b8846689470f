"""Where memories go: block RAM, memory made of logic cells, or plain logic."""

from ..compiler.target import GENERIC, SMALL_MEMORY, Target

__all__ = ["in_block_ram", "ram_attributes"]


def in_block_ram(depth: int, target: Target = GENERIC) -> bool:
    """Whether a memory of so many words lies in block RAM; a ROM does not depend on the target."""
    return depth > SMALL_MEMORY or not target.distributed_memory


def ram_attributes(depth: int, target: Target, *, rom: bool = False) -> dict[str, str | int]:
    """Attributes that pin a memory's style, so that synthesis does not choose by its own lights.

    A small ROM is plain logic. No written memory of ours uses what it reads from a word in the
    very cycle in which that word is written, so synthesis need not define it.
    """
    if rom:
        return {"ram_style": "block" if in_block_ram(depth) else "logic"}
    style = "block" if in_block_ram(depth, target) else "distributed"
    return {"ram_style": style, "no_rw_check": 1}
