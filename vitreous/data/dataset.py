"""Hugging Face data sets as sources: in memory, saved to disk, streamed, or by hub id.

Images stay undecoded until an item is asked for: `datasets` decodes while it iterates, so that one damaged image ends
the iteration for good.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.data.annotation import CAPTION, LABEL, LICENCE, SOURCE, field
from vitreous.data.decoder import to_picture
from vitreous.data.item import Item
from vitreous.data.source import Items, Stream
from vitreous.errors import BadInputError, NetworkError, UnknownNameError, unknown

if TYPE_CHECKING:
    import datasets

IMAGE = ("image", "img", "images", "picture", "photo", "jpg", "png", "pixels", "pixel_values")
FINE_LABEL = ("label", "labels", "class", "class_name", "fine_label", "category", "target", "species")
CAPTIONS = (*CAPTION, "txt", "sentences", "caption_0", "prompt")


@dataclass(frozen=True)
class Columns:
    """Which column of a data set holds what; None means that there is none.

    Attributes:
        image: the picture.
        label: class name or number.
        caption: a sentence or a list of sentences, of which the first is used.
        id: a value that is unique in the data set; None counts the rows.
        names: class names, if the label is a number.
    """

    image: str
    label: str | None = None
    caption: str | None = None
    id: str | None = None
    names: tuple[str, ...] = ()


def dataset_items(
    data: "datasets.Dataset | datasets.IterableDataset",
    name: str = "",
    image: str | None = None,
    label: str | None = None,
    caption: str | None = None,
    id: str | None = None,
) -> Items | Stream:
    """A `datasets.Dataset` as a sequence, a `datasets.IterableDataset` as a stream.

    Args:
        data: the data set; of a `DatasetDict` choose a split first.
        name: what to call it in ids, provenance and errors.
        image: column of the picture; None detects it (by type, then by name). So do the next two.
        label: column of the class.
        caption: column of the caption.
        id: column of the id; None uses the row number.

    Raises:
        UnknownNameError: no such column.
        BadInputError: no column that could hold images, or an empty data set.
    """
    import datasets

    name = name or getattr(data.info, "dataset_name", None) or "dataset"
    columns = _columns(data, name, image=image, label=label, caption=caption, id=id)
    if isinstance((data.features or {}).get(columns.image), datasets.Image):
        data = data.cast_column(columns.image, datasets.Image(decode=False))
    if isinstance(data, datasets.IterableDataset):
        return Stream(name, partial(iter, data), partial(_item, columns, name))
    if not len(data):
        raise BadInputError(f"{name}: the data set is empty")
    data = data.with_format(None)
    return Items(name, range(len(data)), partial(_row_item, data, columns, name), partial(_row_id, data, columns))


def load_items(
    name: str, split: str | None = None, config: str | None = None, streaming: bool = False, **columns: str | None
) -> Items | Stream:
    """A data set of the Hugging Face hub, or a folder that `datasets.load_dataset` understands (parquet, arrow, csv).

    Args:
        name: hub id (`owner/name`) or folder.
        split: which split; may be left out when there is only one.
        config: which configuration, when there are several.
        streaming: read while downloading instead of downloading everything first.
        **columns: `image`, `label`, `caption`, `id` as in :func:`dataset_items`.

    Raises:
        NetworkError: the hub cannot be reached.
        UnknownNameError: no such data set or split.
        BadInputError: the hub refuses (gated, configuration missing, ...).
    """
    import datasets

    local = Path(name).is_dir()
    if not local:
        _find_on_hub(name)
    if split is None:
        split = _only_split(name, _loaded(name, lambda: datasets.get_dataset_split_names(name, config)))
    data = _loaded(name, lambda: datasets.load_dataset(name, config, split=split, streaming=streaming))
    return dataset_items(data, f"{name}:{split}", **columns)


def saved_items(folder: Path, split: str | None = None, **columns: str | None) -> Items:
    """What `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    import datasets

    data = _loaded(str(folder), lambda: datasets.load_from_disk(str(folder)))
    if isinstance(data, datasets.DatasetDict):
        known = [str(key) for key in data]
        if split is not None and split not in data:
            raise unknown("split", split, known, hint=f"({folder})")
        split = split or _only_split(str(folder), known)
        data = data[split]
    elif split is not None:
        raise BadInputError(f"{folder}: holds one data set without splits, {split!r} was asked for")
    found = dataset_items(data, str(folder) + (f":{split}" if split else ""), **columns)
    assert isinstance(found, Items)
    return found


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def _only_split(name: str, known: list[str]) -> str:
    if len(known) != 1:
        raise BadInputError(f"{name}: has the splits {', '.join(known)}; choose one, as in '{name}:{known[0]}'")
    return known[0]


def _columns(data: Any, name: str, **given: str | None) -> Columns:
    """The columns given, and for those not given a guess from type and name."""
    import datasets

    features = data.features
    known = list(features or data.column_names or next(iter(data), {}))
    for column in given.values():
        if column is not None and column not in known:
            raise unknown("column", column, known, hint=f"({name})")
    typed = [column for column, kind in (features or {}).items() if isinstance(kind, datasets.Image)]
    classes = [column for column, kind in (features or {}).items() if isinstance(kind, datasets.ClassLabel)]
    image = given["image"] or _first(typed, IMAGE) or _first(known, IMAGE, anything=False)
    if image is None:
        raise BadInputError(
            f"{name}: no column of images among {', '.join(known) or 'no columns'}; name it (image=...)"
        )
    label = given["label"] or _first(classes, FINE_LABEL) or _first(known, (*FINE_LABEL, *LABEL), anything=False)
    caption = given["caption"] or _first(known, CAPTIONS, anything=False)
    kind = (features or {}).get(label)
    names = tuple(kind.names) if isinstance(kind, datasets.ClassLabel) else ()
    return Columns(image, label, caption, given["id"], names)


def _first(columns: list[str], spellings: tuple[str, ...], anything: bool = True) -> str | None:
    """The column with the earliest of these spellings; else, with ``anything``, the first column."""
    lower = {column.lower(): column for column in reversed(columns)}
    named = next((lower[spelling] for spelling in spellings if spelling in lower), None)
    return named or (columns[0] if anything and columns else None)


def _row_item(data: Any, columns: Columns, name: str, number: int) -> Item:
    return _item(columns, name, data[number], number)


def _row_id(data: Any, columns: Columns, number: int) -> str:
    return str(number) if columns.id is None else str(data.select_columns([columns.id])[number][columns.id])


def _item(columns: Columns, name: str, row: Mapping[str, Any], number: int) -> Item:
    identity = str(number) if columns.id is None else str(row[columns.id])
    value = row[columns.image]
    image = to_picture(value[0] if _is_list_of_pictures(value) else value, f"{name}/{identity}")
    return Item(
        image=image,
        id=identity,
        label=_label(columns, row),
        caption=field(row, [columns.caption]) if columns.caption else None,
        source=field(row, SOURCE) or name,
        licence=field(row, LICENCE) or "",
    )


def _is_list_of_pictures(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], list | int | float)


def _label(columns: Columns, row: Mapping[str, Any]) -> str | None:
    value = row[columns.label] if columns.label else None
    if value is None or (columns.names and value == -1):  # -1: the hub's convention for unlabelled test sets
        return None
    return columns.names[value] if columns.names else str(value)


def _find_on_hub(name: str) -> None:
    """Fails at once, and in one line, where `datasets` would retry for half a minute."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return  # a data set in the cache still loads
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=15)
    except HFValidationError as error:
        raise UnknownNameError(
            f"{name!r} is neither a file or folder here nor the id of a data set ({error})"
        ) from error
    except GatedRepoError as error:
        raise BadInputError(f"data set {name!r} is gated: ask for access on its page, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise UnknownNameError(
            f"{name!r} is neither a file or folder here nor a data set on the Hugging Face hub"
        ) from error
    except HfHubHTTPError as error:
        raise NetworkError(f"the Hugging Face hub answered {error} for data set {name!r}") from error
    except Exception as error:  # every HTTP library has its own connection errors
        raise _no_network(name) from error


def _loaded(name: str, load: Callable[[], Any]) -> Any:
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        return load()
    except DatasetNotFoundError as error:
        raise UnknownNameError(f"no data set {name!r}: {error}") from error
    except ConnectionError as error:
        raise _no_network(name) from error
    except (ValueError, OSError, DatasetsError) as error:
        raise BadInputError(f"data set {name!r}: {' '.join(str(error).split())}") from error


def _no_network(name: str) -> NetworkError:
    return NetworkError(
        f"{name!r} is neither a file or folder here, and the Hugging Face hub cannot be reached to look for a data "
        "set of this name. Check the path or the network; a data set in the cache loads with HF_HUB_OFFLINE=1; "
        "'skimage' and 'scenes:2000' need no network"
    )
