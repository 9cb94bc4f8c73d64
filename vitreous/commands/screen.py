"""What the commands print: tables, headings and progress, on one console."""

import os
from collections.abc import Sequence
from typing import Any

PIPED_WIDTH = 180
"""Columns where there is no terminal to ask."""


def quiet() -> None:
    """Keep other libraries' banners and bars off the screen; to be called before they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("WANDB_SILENT", "true")


def say(text: str = "") -> None:
    """One line."""
    _console().print(text, highlight=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; numbers are aligned to the right."""
    from rich.table import Table

    shown = Table(title=title or None, title_justify="left", header_style="bold", box=_box(), pad_edge=False)
    for i, name in enumerate(columns):
        number = bool(rows) and all(isinstance(row[i], int | float) or row[i] == "" for row in rows)
        shown.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*[figure(value) for value in row])
    _console().print(shown)


def figure(value: Any) -> str:
    """
    >>> figure(0.12345), figure(12345), figure(float("nan")), figure("x")
    ('0.123', '12,345', '-', 'x')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value != value else f"{value:.3f}"


def _console() -> Any:
    import sys

    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ  # names stay whole for grep
    return Console(soft_wrap=True, width=PIPED_WIDTH if piped else None)


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD
