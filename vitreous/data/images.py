"""Images in: one iterator of items over folders, files, zip archives, Hugging Face data sets, scenes and photographs.

>>> items = open_items("skimage")
>>> items[1].label, items[1].image.mode
('cat', 'RGB')

Images are decoded when they are asked for. Iterate with :func:`read_all` where one bad image must not end the run.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from PIL import Image

from vitreous.data.dataset import Columns, dataset_items, is_saved, load_items, saved_items
from vitreous.data.decoder import decode, to_rgb
from vitreous.data.item import Item
from vitreous.data.pack import SUFFIXES, Archive, Folder, file_items, pack_items
from vitreous.data.photograph import PHOTOGRAPHS, photographs, tiles
from vitreous.data.scenes import Scenes
from vitreous.data.source import Items, Skipped, Stream, read_all
from vitreous.errors import BadInputError, unknown

__all__ = [
    "PHOTOGRAPHS",
    "Columns",
    "Items",
    "Skipped",
    "Stream",
    "as_items",
    "dataset_items",
    "decode",
    "named_scenes",
    "open_items",
    "photographs",
    "read_all",
    "tiles",
    "to_rgb",
]

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
COLUMN_OPTIONS = frozenset({"image", "label", "caption", "id"})


def open_items(source: str | PathLike[str], **options: Any) -> Items | Stream:
    """The items of a source given by name.

    =========================== ====================================================================================
    ``photos/`` ``photos:train`` a folder, all images below it; the class is the folder's name (split: top folder)
    ``pack.zip`` ``cat.jpg``     a zip archive, read in place; one image file
    ``saved/`` ``saved/:test``   what `datasets.Dataset.save_to_disk` wrote; a folder of parquet or arrow files
    ``skimage``                  the photographs inside scikit-image and scikit-learn; ``skimage:cat`` one of them
    ``skimage-tiles``            crops of them: ``skimage-tiles?size=64&stride=0.25``, see :func:`tiles`
    ``scenes:2000``              procedural scenes: ``scenes:2000?seed=1&size=64``, see `vitreous.data.scenes.Scenes`
    ``owner/name:split``         a data set of the Hugging Face hub: ``cifar10:test?label=label&streaming=1``
    =========================== ====================================================================================

    Args:
        source: as above: ``name``, then ``:split``, then ``?option=value&option=value``.
        **options: the same options as keywords: `split`; for data sets `image`, `label`, `caption`, `id` (the columns),
            `config`, `streaming`; for folders and archives `labels=False` (folder names are no classes).

    Raises:
        BadInputError: nothing there, no image in it, an option that the source does not have.
        UnknownNameError: no such split, column, or data set.
        NetworkError: a hub id, and the hub cannot be reached.
    """
    name, split, given = _parts(str(source))
    options = {**given, **options}
    split = options.pop("split", split)
    if name == "scenes":
        return _scenes(split, options)
    if name == "skimage":
        return _call(name, partial(photographs, split.split(",") if split else None), options)
    if name == "skimage-tiles":
        return _call(name, partial(tiles, split.split(",") if split else None), options)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path, split, options)
    if path.is_file():
        return _file(path, split, options)
    if not HUB_ID.fullmatch(name) or path.suffix.lower() in SUFFIXES | {".zip"} or name.startswith("."):
        raise BadInputError(f"{name!r}: no such file or folder (seen from {Path.cwd()})")
    return _call(name, partial(load_items, name, split), options)


def as_items(source: Any, **options: Any) -> Items | Stream:
    """Whatever a caller has as items: a name (:func:`open_items`), items, a data set, scenes, Pillow pictures, paths.

    Args:
        source: a string or path, :class:`Items`, :class:`Stream`, a Hugging Face `Dataset` or `IterableDataset`, or a
            sequence of items, of things with an ``item()`` method, of Pillow pictures, or of paths of image files.
        **options: as for :func:`open_items`.
    """
    if isinstance(source, str | PathLike):
        return open_items(source, **options)
    if isinstance(source, Items | Stream):
        return source
    if hasattr(source, "features") and hasattr(source, "cast_column"):
        return dataset_items(source, **options)
    if isinstance(source, Sequence):
        if not source:
            raise BadInputError("no images: the sequence is empty")
        if isinstance(source[0], str | PathLike):
            return file_items([Path(path) for path in source])
        return Items(type(source).__name__, range(len(source)), partial(_element, source), partial(_element_id, source))
    if isinstance(source, Iterable):
        return Stream(type(source).__name__, partial(iter, source), _as_item)
    raise BadInputError(f"images come from a name, a data set or a sequence, not from {type(source).__name__}")


def _element(source: Sequence[Any], number: int) -> Item:
    return _as_item(source[number], number)


def _element_id(source: Sequence[Any], number: int) -> str:
    element = source[number]
    return str(number) if isinstance(element, Image.Image) else str(element.id)


def _as_item(element: Any, number: int) -> Item:
    if isinstance(element, Item):
        return element
    if isinstance(element, Image.Image):
        return Item(to_rgb(element, f"picture {number}"), str(number))
    if hasattr(element, "item"):
        return element.item()
    raise BadInputError(f"element {number} is no image but {type(element).__name__}")


def _parts(source: str) -> tuple[str, str | None, dict[str, Any]]:
    """``name:split?option=value`` taken apart; an existing path is taken whole.

    >>> _parts("scenes:2000?seed=1")
    ('scenes', '2000', {'seed': 1})
    """
    if Path(source).expanduser().exists():
        return source, None, {}
    source, _, query = source.partition("?")
    name, colon, split = source.rpartition(":")
    if not colon or "/" in split or "\\" in split:
        name, split = source, ""
    return name, split or None, {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}


def _value(text: str) -> Any:
    """Text of an option as a number, a truth value, or a tuple of numbers, where it is one."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "," in text:
        return tuple(_value(part) for part in text.split(","))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _call(name: str, function: partial[Any], options: dict[str, Any]) -> Any:
    """Calls it, with an error that lists its options where one does not exist."""
    parameters = inspect.signature(function).parameters
    known = {key for key, parameter in parameters.items() if parameter.kind != parameter.VAR_KEYWORD}
    known |= COLUMN_OPTIONS if len(known) < len(parameters) else set()
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known)
    return function(**{key: _fitted(value, parameters.get(key)) for key, value in options.items()})


def _fitted(value: Any, parameter: inspect.Parameter | None) -> Any:
    """A value written in a source's name as what the parameter takes: 1 as True, 64 as (64,), a column 0 as "0"."""
    if parameter is None or parameter.name in COLUMN_OPTIONS:
        return value if value is None else str(value)
    if isinstance(parameter.default, int | float | tuple) and isinstance(value, str):
        raise BadInputError(f"option {parameter.name} takes a number, as {parameter.default}; got {value!r}")
    if isinstance(parameter.default, bool):
        return bool(value)
    if isinstance(parameter.default, tuple) and isinstance(value, int | float):
        return (value,)
    return value


def _folder(path: Path, split: str | None, options: dict[str, Any]) -> Items | Stream:
    if is_saved(path):
        return _call(str(path), partial(saved_items, path, split), options)
    folder = Folder(path)
    endings = {Path(name).suffix.lower() for name in folder.names}
    if not endings & SUFFIXES and endings & {".parquet", ".arrow"}:
        return _call(str(path), partial(load_items, str(path), split), options)
    return _call(str(path), partial(pack_items, folder, split), options)


def _file(path: Path, split: str | None, options: dict[str, Any]) -> Items:
    if path.suffix.lower() == ".zip":
        return _call(str(path), partial(pack_items, Archive(path), split), options)
    if split or options:
        raise BadInputError(f"{path}: a single image has no split and no options")
    return file_items([path])


def named_scenes(source: str) -> Scenes | None:
    """The scenes, with their ground truth, that a name stands for; None when it names something else.

    >>> named_scenes("scenes:20?seed=3"), named_scenes("photos/")
    (Scenes(n=20, seed=3, size=64, n_objects=(1, 4)), None)
    """
    name, split, options = _parts(source)
    return _drawn(split, options) if name == "scenes" else None


def _scenes(count: str | None, options: dict[str, Any]) -> Items:
    items = as_items(_drawn(count, options))
    assert isinstance(items, Items)
    return Items(f"scenes:{count}", items.numbers, items.read, items.identify)


def _drawn(count: str | None, options: dict[str, Any]) -> Scenes:
    if count is None or not count.isdigit() or int(count) < 1:
        raise BadInputError("scenes need a number, as in 'scenes:2000' or 'scenes:2000?seed=1'")
    if isinstance(options.get("n_objects"), int):
        options["n_objects"] = (options["n_objects"],) * 2  # as many objects as that, from and to
    return _call("scenes", partial(Scenes, int(count)), options)
