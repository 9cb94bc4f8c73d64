"""Activations on disk: sharded safetensors with provenance columns behind one JSON manifest."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitreous.errors import BadInputError, FormatError, StoreError, unknown
from vitreous.sae.disk import sha256
from vitreous.training.shard import COLUMNS, ShardInfo, damage, open_shard, read_info

MANIFEST = "manifest.json"
FORMAT, FORMAT_VERSION = "vitreous-activations", 1


class ActivationStore:
    """Rows of activations of one or more hook points, read like arrays.

    Row i of every point and of every column belong together. A shard's hash is checked when it is first read.
    """

    def __init__(self, folder: str | Path, *, verify: bool = True) -> None:
        """Open a finished store.

        Args:
            folder: what `harvest` wrote.
            verify: check the hash of a shard when it is first read; file sizes are always checked, now.

        Raises:
            StoreError: there is no store, its harvest has not finished, or a shard is missing or truncated.
            FormatError: the manifest is damaged or of another version.
        """
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if not self.manifest["complete"]:
            raise StoreError(f"the harvest into {self.folder} has not finished: run the same command again")
        self._verify = verify
        self._open: dict[int, dict[str, Tensor]] = {}
        self.shards = [self._info(i, entry) for i, entry in enumerate(self.manifest["shards"])]
        self._starts = torch.tensor([0, *(s.rows for s in self.shards)]).cumsum(0)

    def __repr__(self) -> str:
        return f"ActivationStore({str(self.folder)!r}, rows={self.n_rows}, points={self.points})"

    @property
    def points(self) -> list[str]:
        """Names of the hook points."""
        return list(self.manifest["plan"]["points"])

    @property
    def n_rows(self) -> int:
        """Rows in all shards."""
        return int(self._starts[-1])

    @property
    def meta(self) -> dict[str, Any]:
        """Provenance: model, token selection, kinds, grid, data."""
        return {**self.manifest["plan"], **self.manifest.get("meta", {}), "content_hash": self.content_hash}

    @property
    def content_hash(self) -> str:
        """One hash over all shards: equal for equal activations and provenance."""
        return self.manifest["content_hash"]

    @property
    def kinds(self) -> list[str]:
        """What the numbers of the column `kind` mean."""
        return self.manifest["plan"]["kinds"]

    @property
    def grid(self) -> tuple[int, int]:
        """Patch rows and columns of an image."""
        rows, cols = self.manifest["plan"]["grid"]
        return rows, cols

    @cached_property
    def image_ids(self) -> list[str]:
        """Identifier of every source item, skipped ones included; the column `image` indexes this list."""
        return [i for s in self.shards for i in s.ids]

    @cached_property
    def labels(self) -> list[str | None]:
        """Label of every source item, aligned with `image_ids`."""
        return [label for s in self.shards for label in s.labels]

    @cached_property
    def label_names(self) -> list[str]:
        """The different labels, sorted; the column `label` indexes this list."""
        return sorted({label for label in self.labels if label is not None})

    @cached_property
    def skipped(self) -> list[dict[str, Any]]:
        """Source items that could not be read: ``{"index", "id", "error"}``."""
        return [entry for s in self.shards for entry in s.skipped]

    @cached_property
    def columns(self) -> dict[str, Int[Tensor, " rows"]]:
        """Provenance of every row: image, position, kind, row, col, label (-1 where there is none)."""
        columns = {name: torch.cat([self._shard(i)[name] for i in range(len(self.shards))]).long() for name in COLUMNS}
        number = {label: i for i, label in enumerate(self.label_names)}
        of_image = torch.tensor([-1 if label is None else number[label] for label in self.labels])
        return {**columns, "label": of_image[columns["image"]]}

    def d(self, point: str) -> int:
        """Width of a point's activations."""
        self._check(point)
        return self.manifest["plan"]["points"][point]

    def nbytes(self, point: str) -> int:
        """Bytes of a point's activations."""
        return self.n_rows * self.d(point) * self.dtype.itemsize

    @property
    def dtype(self) -> torch.dtype:
        """Element type on disk."""
        return getattr(torch, self.manifest["plan"]["dtype"])

    def read(self, point: str, start: int = 0, stop: int | None = None) -> Float[Tensor, "rows d"]:
        """Consecutive rows ``start .. stop - 1`` of a point, in the store's dtype."""
        self._check(point)
        stop = self.n_rows if stop is None else stop
        if not 0 <= start <= stop <= self.n_rows:
            raise BadInputError(f"rows {start} to {stop} of a store with {self.n_rows} rows")
        parts = []
        for i in range(len(self.shards)):
            low, high = int(self._starts[i]), int(self._starts[i + 1])
            if low < stop and start < high:
                parts.append(self._shard(i)[point][max(start - low, 0) : stop - low])
        return torch.cat(parts) if parts else torch.empty(0, self.d(point), dtype=self.dtype)

    def take(self, point: str, rows: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Any rows of a point, in the order asked for."""
        self._check(point)
        out = torch.empty(rows.shape[0], self.d(point), dtype=self.dtype)
        shard = torch.searchsorted(self._starts, rows, right=True) - 1
        for i in shard.unique().tolist():
            where = (shard == i).nonzero()[:, 0]
            out[where] = self._shard(i)[point][rows[where] - self._starts[i]]
        return out

    def verify(self) -> None:
        """Read everything and compare every shard's hash.

        Raises:
            StoreError: naming every damaged shard.
        """
        bad = [f"{s.name} ({problem})" for s in self.shards if (problem := damage(self.folder, s, content=True))]
        if bad:
            raise StoreError(f"damaged shards in {self.folder}: {', '.join(bad)}. Run the same harvest again")

    def _info(self, number: int, entry: dict[str, Any]) -> ShardInfo:
        info = read_info(self.folder, number)
        problem = "its JSON file is missing or damaged" if info is None else damage(self.folder, info, content=False)
        if info is not None and info.sha256 != entry["sha256"]:
            problem = "it is not the one that the manifest names"
        if problem or info is None:
            raise StoreError(
                f"shard {self.folder / entry['name']} is damaged: {problem}. "
                "Run the same harvest again: it replaces this shard only"
            )
        return info

    def _shard(self, number: int) -> dict[str, Tensor]:
        if number not in self._open:
            self._open[number] = open_shard(self.folder, self.shards[number], verify=self._verify)
        return self._open[number]

    def _check(self, point: str) -> None:
        if point not in self.manifest["plan"]["points"]:
            raise unknown("point of this store", point, self.points)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The validated manifest of a (finished or unfinished) store."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except OSError as error:
        raise StoreError(f"no activation store in {folder}: {error.strerror or error}") from error
    except ValueError as error:
        raise FormatError(f"{path} is damaged: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FormatError(f"{path} does not describe a {FORMAT} store")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise FormatError(
            f"{path} has format version {manifest.get('format_version')!r}; this library reads {FORMAT_VERSION}"
        )
    return manifest


def hash_of(shards: list[ShardInfo]) -> str:
    """The content hash: over the shards' hashes, in order."""
    return sha256("\n".join(s.sha256 for s in shards).encode())
