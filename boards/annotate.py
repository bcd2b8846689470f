"""What Amaranth's RTLIL has to say to Yosys beyond what it says by itself."""

__all__ = ["annotate"]


def annotate(text):
    """RTLIL text in which cells name their module, and memories keep their promises.

    - Every cell and memory gets ``@module`` as its source line: the one attribute that synthesis
      carries along to flip-flops, carries and hard blocks. Paths of this machine go with it.
    - A memory with the attribute ``no_rw_check`` promises that no word is read in the cycle in
      which it is written. Yosys heeds that in what a read port says, where Amaranth cannot put it.
      Without it, comparators and a multiplexer go behind the memory, and its output register
      cannot become part of the block RAM.
    """
    module, unchecked, promised, transparent = "", False, set(), ""
    lines = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        name = rest.rpartition(" ")[2]
        match word:
            case "attribute" if rest.startswith("\\src "):
                continue
            case "attribute" if rest.startswith("\\no_rw_check "):
                unchecked = name != "0"
            case "module":
                module, promised = rest.removeprefix("\\"), set()
            case "cell" | "memory":
                lines.append(f'attribute \\src "@{module}"')
                if word == "memory" and unchecked:
                    promised.add(name.removeprefix("\\"))
                    unchecked = False
                reading = False
            case "parameter" if rest.startswith("\\MEMID "):
                reading = name.strip('"').lstrip("\\") in promised
            case "parameter" if rest.startswith("\\TRANSPARENCY_MASK "):
                transparent = name.partition("'")[2]
            case "parameter" if rest.startswith("\\COLLISION_X_MASK ") and reading:
                width = name.partition("'")[0]
                mask = "".join("0" if bit == "1" else "1" for bit in transparent)
                line = f"parameter \\COLLISION_X_MASK {width}'{mask}"
        lines.append(line)
    return "\n".join(lines) + "\n"
