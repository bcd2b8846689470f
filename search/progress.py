"""How far a search has come, on the error stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Say", "counted"]

Say = Callable[[str], None]
"""Is told what was done."""


@contextmanager
def counted(title: str, total: int, say: Say | None) -> Iterator[Say]:
    """Count steps: the result is called after each with what came of it.

    Without ``say`` a bar shows them, on a terminal for as long as the search lasts.
    """
    if say is not None:
        done = 0

        def step(text: str) -> None:
            nonlocal done
            done += 1
            say(f"{title}, {done} of {total}: {text}")

        yield step
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda text: bar.update(task, advance=1, description=f"{title}: {text}")
