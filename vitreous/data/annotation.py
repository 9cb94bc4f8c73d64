"""What a pack of images says about its files: labels, captions, splits, licences, in any of the usual spellings.

Understood, beside the images or in a folder above them: ``metadata.jsonl``, ``metadata.csv`` and ``manifest.csv`` (one
row per image), ``captions.json`` (``{file: caption}``, ``{file: [captions]}``, a list of rows, or COCO's layout) and
``coco.json``.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from vitreous.errors import FormatError

FILE = ("file_name", "file", "filename", "filepath", "path", "image")
LABEL = ("label", "class", "class_name", "category")
CAPTION = ("caption", "captions", "text", "description", "sentence")
SPLIT = ("split",)
LICENCE = ("licence", "license")
SOURCE = ("source", "url", "flickr_url")


@dataclass(frozen=True)
class Note:
    """What is known about one file; None or empty where nothing is said."""

    label: str | None = None
    caption: str | None = None
    split: str | None = None
    licence: str = ""
    source: str = ""


def annotations(names: Iterable[str], read: Callable[[str], bytes]) -> dict[str, Note]:
    """The notes of every file that an annotation file speaks of, by path from the root of the pack.

    Args:
        names: every file of the pack, ``/`` between folders.
        read: file -> content.

    Raises:
        FormatError: an annotation file that cannot be parsed, or that speaks of no file of the pack.
    """
    present = set(names)
    notes: dict[str, Note] = {}
    for name in sorted(present):
        parse = READERS.get(PurePosixPath(name).name.lower())
        if parse is None:
            continue
        found = _resolved(_parsed(parse, name, read(name)), PurePosixPath(name).parent, present)
        if not found:
            raise FormatError(
                f"{name}: none of the files it speaks of is here; are its paths relative to its own folder?"
            )
        for file, note in found.items():
            notes[file] = _merged(notes.get(file), note)
    return notes


def field(row: Mapping[str, Any], spellings: Iterable[str]) -> str | None:
    """The first of these columns that says something, as text; of a list of captions the first.

    >>> field({"class": "", "caption": ["a cat", "a pet"]}, CAPTION)
    'a cat'
    """
    for column in spellings:
        value = row.get(column)
        if isinstance(value, list | tuple):
            value = value[0] if value else None
        if value is not None and str(value) != "":
            return str(value)
    return None


def _parsed(parse: Callable[[str], list[dict[str, Any]]], name: str, data: bytes) -> list[dict[str, Any]]:
    try:
        return parse(data.decode("utf-8-sig"))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise FormatError(f"{name}: cannot be understood ({type(error).__name__}: {error})") from error


def _resolved(rows: list[dict[str, Any]], folder: PurePosixPath, present: set[str]) -> dict[str, Note]:
    notes = {}
    for row in rows:
        file = field(row, FILE)
        if file is None:
            continue
        file = file.replace("\\", "/").removeprefix("./")
        for path in (str(folder / file), str(folder / "images" / file)):
            if path in present:
                notes[path] = _note(row)
                break
    return notes


def _note(row: Mapping[str, Any]) -> Note:
    return Note(
        label=field(row, LABEL),
        caption=field(row, CAPTION),
        split=field(row, SPLIT),
        licence=field(row, LICENCE) or "",
        source=field(row, SOURCE) or "",
    )


def _merged(old: Note | None, new: Note) -> Note:
    if old is None:
        return new
    return Note(**{key: getattr(new, key) or getattr(old, key) for key in Note.__dataclass_fields__})


def _json_lines(text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number}: expected an object with a file_name, got {type(row).__name__}")
            rows.append(row)
    return rows


def _csv(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def _json(text: str) -> list[dict[str, Any]]:
    content = json.loads(text)
    if isinstance(content, list):
        return content
    if "images" in content:
        return _coco(content)
    return [{"file_name": file, "caption": caption} for file, caption in content.items()]


def _coco(content: dict[str, Any]) -> list[dict[str, Any]]:
    captions: dict[Any, str] = {}
    for row in [*content.get("captions", ()), *content.get("annotations", ())]:
        if "caption" in row:
            captions.setdefault(row["image_id"], row["caption"])
    licences = {row["id"]: row.get("name") for row in content.get("licenses", ())}
    return [
        {
            **image,
            "caption": captions.get(image["id"]),
            "license": licences.get(image.get("license"), image.get("license")),
        }
        for image in content["images"]
    ]


READERS: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "metadata.jsonl": _json_lines,
    "metadata.csv": _csv,
    "manifest.csv": _csv,
    "captions.json": _json,
    "coco.json": _json,
}
"""File name -> reader of its rows."""
