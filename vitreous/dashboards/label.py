"""Names that people give to latents: `labels.jsonl`, one JSON object per line, as the page exports and imports it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vitreous.errors import FormatError


@dataclass(frozen=True)
class Label:
    """One name of one latent.

    Attributes:
        latent: index of the latent.
        label: the name.
        author: who or what gave it.
        time: when, ISO 8601.
        score: how well it held on examples that its author did not see, if that was measured.
        source: how it was made ("page", "lift", ...).
        note: anything else.
    """

    latent: int
    label: str
    author: str = ""
    time: str = ""
    score: float | None = None
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class Conflict:
    """Two different names for one latent; `kept` is the one that the merge kept."""

    kept: Label
    dropped: Label


def read_labels(path: str | Path) -> list[Label]:
    """Read `labels.jsonl`; fields that this version does not know are ignored.

    Raises:
        FormatError: a line that is not a label, with its number.
    """
    labels = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            known = {name: row[name] for name in Label.__dataclass_fields__ if name in row}
            labels.append(Label(**{**known, "latent": int(row["latent"]), "label": str(row["label"])}))
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{path}, line {number} is not a label: {error}") from error
    return labels


def write_labels(path: str | Path, labels: Iterable[Label]) -> None:
    """Write `labels.jsonl`, in the order of the latents."""
    rows = sorted(labels, key=lambda label: label.latent)
    lines = [
        json.dumps({k: v for k, v in asdict(row).items() if v not in ("", None)}, ensure_ascii=False) for row in rows
    ]
    Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def merge_labels(*sources: Iterable[Label]) -> tuple[list[Label], list[Conflict]]:
    """One label per latent: the latest by time, and on equal times the one from the later source.

    Returns:
        the labels by latent, and every pair of different names that met.
    """
    kept: dict[int, Label] = {}
    conflicts = []
    for label in (label for source in sources for label in source):
        known = kept.get(label.latent)
        if known is None:
            kept[label.latent] = label
            continue
        new, old = (label, known) if label.time >= known.time else (known, label)
        if new.label != old.label:
            conflicts.append(Conflict(kept=new, dropped=old))
        kept[label.latent] = new
    return [kept[latent] for latent in sorted(kept)], conflicts


def names(labels: Iterable[Label]) -> Mapping[int, str]:
    """What `collect(names=...)` takes."""
    return {label.latent: label.label for label in labels}
