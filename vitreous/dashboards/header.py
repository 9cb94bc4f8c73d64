"""The provenance that every dashboard carries in view."""

import datetime
import os
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from vitreous.dashboards.source import Rows
from vitreous.dashboards.tally import Tally


def header_of(
    coder: Any, store: Any, point: str, rows: Rows, tally: Tally, given: Mapping[str, str | int | float]
) -> dict[str, str | int | float]:
    """Facts in the order in which they are shown; what is unknown is left out."""
    meta = dict(getattr(coder, "meta", None) or {})
    source = dict(getattr(store, "meta", None) or {})
    facts: dict[str, Any] = {
        "model": meta.get("model") or source.get("model"),
        "hook point": point,
        "coder": _architecture(coder),
        "trained on": _text(meta.get("data")),
        "data": _text(source.get("data")),
        "images": tally.n_images,
        "tokens": tally.n_tokens,
        "grid": f"{rows.grid[0]} x {rows.grid[1]} patches" + (f" + {', '.join(rows.extra)}" if rows.extra else ""),
        "seed": tally.seed,
    }
    facts |= {**given, "vitreous": version(), "date": today()}
    return {k: v if isinstance(v, int | float) else str(v) for k, v in facts.items() if v not in (None, "")}


def _text(value: Any) -> str | None:
    """A fact as one line."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items() if isinstance(v, str | int | float))
    return str(value)


def _architecture(coder: Any) -> str:
    """Such as `TopK(k=32), 192 to 1,536 latents`."""
    activation = getattr(coder, "activation", None)
    name = repr(activation) if activation is not None and "object at" not in repr(activation) else type(coder).__name__
    wide = f"{int(coder.n_latents):,} latents"
    return f"{name}, {coder.d_in} to {wide}" if hasattr(coder, "d_in") else f"{name}, {wide}"


def version() -> str:
    """The package's version, with the commit when it runs from a git checkout."""
    try:
        number = metadata.version("vitreous")
    except metadata.PackageNotFoundError:
        number = "unknown"
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return number
    try:
        run = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return number
    return f"{number} ({run.stdout.strip()})" if run.returncode == 0 else number


def today() -> str:
    """The date in UTC; `SOURCE_DATE_EPOCH` fixes it for byte-identical builds."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%d %H:%M UTC")
