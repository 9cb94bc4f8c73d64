"""Progress of long steps: a rich bar on a terminal, a callback, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[..., None]
Progress = bool | Callable[[int, int | None], None]


@contextmanager
def track(label: str, total: int | None, progress: Progress, done: int = 0) -> Iterator[Advance]:
    """Yield ``advance(n=1, note="")``, which reports that n more units are finished.

    Args:
        label: what is being done, shown before the bar.
        total: number of units, None when unknown.
        progress: True draws a bar on standard error, False is silent, a callable gets (finished, total).
        done: units finished before, by a run that is being resumed.
    """
    if progress is True:
        with _bar(label, total, done) as advance:
            yield advance
        return
    finished = done

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal finished
        finished += n
        if callable(progress):
            progress(finished, total)

    yield advance


@contextmanager
def _bar(label: str, total: int | None, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done, note="")

        def advance(n: int = 1, note: str = "") -> None:
            fields: dict[str, Any] = {"note": note} if note else {}
            bar.update(task, advance=n, **fields)

        yield advance
