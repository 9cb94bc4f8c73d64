"""Image files in a folder or in a zip archive, behind one lazy sequence."""

import os
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from vitreous.data.annotation import Note, annotations
from vitreous.data.decoder import decode
from vitreous.data.item import Item
from vitreous.data.source import Items
from vitreous.errors import BadInputError, FormatError, unknown

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".avif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi", ".ico"}
)
"""Endings of the files that count as images; everything else in a folder is ignored."""


@dataclass(frozen=True)
class Folder:
    """The files below a folder; links to folders are followed, hidden files are not."""

    path: Path

    @cached_property
    def names(self) -> list[str]:
        """Every file, as a path from the folder with ``/``, sorted."""
        found, seen = [], set()
        for root, folders, files in os.walk(self.path, followlinks=True):
            real = os.path.realpath(root)
            if real in seen:  # a link to a folder above
                folders.clear()
                continue
            seen.add(real)
            found += [(Path(root) / file).relative_to(self.path).as_posix() for file in files]
        return sorted(name for name in found if not _hidden(name))

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadInputError(f"{self.path / name}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class Archive:
    """The files of a zip archive, read in place; safe to use from several threads and after a fork."""

    path: Path
    _open: dict[int, zipfile.ZipFile] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def names(self) -> list[str]:
        """Every file, as a path from the archive's root with ``/``, sorted."""
        return sorted(name for name in self._zip().namelist() if not name.endswith("/") and not _hidden(name))

    def read(self, name: str) -> bytes:
        try:
            return self._zip().read(name)
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
            raise FormatError(f"{self.path}/{name}: damaged or encrypted ({error})") from error
        except Exception as error:  # zlib.error, lzma.LZMAError, ... according to the compression
            raise FormatError(f"{self.path}/{name}: damaged ({type(error).__name__}: {error})") from error

    def _zip(self) -> zipfile.ZipFile:
        with self._lock:
            if os.getpid() not in self._open:  # a forked worker must not share the parent's file position
                try:
                    self._open[os.getpid()] = zipfile.ZipFile(self.path)
                except zipfile.BadZipFile as error:
                    raise FormatError(f"{self.path}: not a zip archive, or a damaged one ({error})") from error
                except OSError as error:
                    raise BadInputError(f"{self.path}: cannot be read ({error.strerror or error})") from error
            return self._open[os.getpid()]

    def __reduce__(self) -> tuple[type["Archive"], tuple[Path]]:
        return (Archive, (self.path,))


def pack_items(pack: Folder | Archive, split: str | None = None, labels: bool = True) -> Items:
    """The images of a folder or zip archive, sorted by path.

    The label is what an annotation file says, else the name of the folder that holds the image (a container called
    ``images``, and the name of the split, are no class). The id is the path.

    Args:
        pack: where the files are.
        split: keep the images that the annotations put in this split, or that lie below a folder of this name.
        labels: False ignores folder names.

    Raises:
        BadInputError: no image there.
        UnknownNameError: no such split.
    """
    everything = pack.names
    names = [name for name in everything if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not names:
        raise BadInputError(f"{pack.path}: no image in it ({_contents(everything)})")
    notes = annotations(everything, pack.read)
    splits = {name: notes.get(name, Note()).split or PurePosixPath(name).parts[0] for name in names}
    if split is not None:
        known = {found for name, found in splits.items() if found != name}
        if split not in known:
            raise unknown("split", split, known, hint=f"({pack.path})")
        names = [name for name in names if splits[name] == split]
    files = _PackFiles(pack, tuple(names), notes, splits, labels)
    title = str(pack.path) + (f":{split}" if split else "")
    return Items(title, range(len(names)), files.item, files.names.__getitem__)


@dataclass(frozen=True)
class _PackFiles:
    pack: Folder | Archive
    names: tuple[str, ...]
    notes: dict[str, Note]
    splits: dict[str, str]
    labels: bool

    def item(self, number: int) -> Item:
        name = self.names[number]
        note = self.notes.get(name, Note())
        image = decode(self.pack.read(name), f"{self.pack.path}/{name}")
        label = note.label or self._folder_label(name)
        return Item(image, name, label, note.caption, note.source or str(self.pack.path), note.licence)

    def _folder_label(self, name: str) -> str | None:
        folders = PurePosixPath(name).parts[:-1]
        if not (self.labels and folders) or folders[-1] == "images":
            return None
        alone = len(folders) == 1 and folders[0] in SPLITS
        return None if alone else folders[-1]


SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""Top folders that name a split, not a class."""


def file_items(paths: Sequence[Path]) -> Items:
    """Single image files, in the order given; the id is the path as given."""

    name = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
    return Items(name, range(len(paths)), partial(_file_item, paths), partial(_file_id, paths))


def _file_item(paths: Sequence[Path], number: int) -> Item:
    path = paths[number]
    return Item(decode(path, str(path)), path.as_posix(), source=str(path.parent))


def _file_id(paths: Sequence[Path], number: int) -> str:
    return paths[number].as_posix()


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _contents(names: list[str]) -> str:
    if not names:
        return "it is empty"
    endings = sorted({PurePosixPath(name).suffix.lower() or "no ending" for name in names})
    return f"{len(names)} files with {', '.join(endings[:8])}; images end in {', '.join(sorted(SUFFIXES))}"
