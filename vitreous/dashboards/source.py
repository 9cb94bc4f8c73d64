"""Reads an activation store image by image and turns its rows into active latents with the coder's own `encode`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitreous.errors import BadInputError


@dataclass(frozen=True)
class Rows:
    """Where each row of a store comes from.

    Attributes:
        image: index of the image of each row; the rows of one image are contiguous.
        cell: place in the heatmap: patches row-major, then one cell per other token (CLS, registers).
        grid: rows and columns of patches.
        extra: names of the cells after the patches.
        first: first row of each image that has rows, and after the last one the number of rows.
        images: those images' indices.
    """

    image: Int[np.ndarray, "rows"]
    cell: Int[np.ndarray, "rows"]
    grid: tuple[int, int]
    extra: tuple[str, ...]
    first: Int[np.ndarray, "images_plus_one"]
    images: Int[np.ndarray, "images"]

    @property
    def n_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def n_cells(self) -> int:
        return self.n_patches + len(self.extra)


def rows_of(store: Any) -> Rows:
    """Read the provenance columns of a store.

    Raises:
        BadInputError: the store is empty, or the rows of an image are scattered.
    """
    columns = {name: np.asarray(store.columns[name]) for name in ("image", "row", "col", "position")}
    image = columns["image"].astype(np.int64)
    if not len(image):
        raise BadInputError("the activation store has no rows: nothing to show")
    change = np.flatnonzero(np.diff(image)) + 1
    first = np.concatenate([[0], change, [len(image)]])
    images = image[first[:-1]]
    if len(np.unique(images)) != len(images):
        raise BadInputError("the rows of one image must be next to each other in the store; these are scattered")
    patch = columns["row"] >= 0
    grid = (int(columns["row"].max()) + 1, int(columns["col"].max()) + 1) if patch.any() else (0, 0)
    if patch.any() and hasattr(store, "grid"):
        grid = (int(store.grid[0]), int(store.grid[1]))
    others = np.unique(columns["position"][~patch])
    cell = np.where(patch, columns["row"] * grid[1] + columns["col"], 0).astype(np.int64)
    cell[~patch] = grid[0] * grid[1] + np.searchsorted(others, columns["position"][~patch])
    return Rows(image, cell, grid, _names_of(store, columns["position"], others), first, images)


def _names_of(store: Any, position: np.ndarray, others: np.ndarray) -> tuple[str, ...]:
    """`CLS`, `register 1`, `register 2`, ... for the positions that are no patch."""
    kind = np.asarray(store.columns["kind"])
    words = getattr(store, "kinds", None)  # what the numbers of the column mean
    kinds = [str(words[int(k)] if words else k) for k in (kind[np.flatnonzero(position == p)[0]] for p in others)]
    names = []
    for i, name in enumerate(kinds):
        title = "CLS" if name == "cls" else name
        names.append(title if kinds.count(name) == 1 else f"{title} {kinds[: i + 1].count(name)}")
    return tuple(names)


@dataclass(frozen=True)
class Batch:
    """The active latents of some whole images, as coordinates.

    Attributes:
        images: image indices of the batch.
        slot: for each entry, which of `images` it belongs to.
        cell, latent, value: for each entry, where it is, which latent fired and how strongly (> 0).
        tokens: number of rows read.
    """

    images: Int[Tensor, "b"]
    slot: Int[Tensor, "entries"]
    cell: Int[Tensor, "entries"]
    latent: Int[Tensor, "entries"]
    value: Float[Tensor, "entries"]
    tokens: int

    def peaks(self, n_latents: int) -> Float[Tensor, "b latents"]:
        """The largest activation of every latent in every image; 0 where it does not fire."""
        out = torch.zeros(len(self.images) * n_latents)
        out.scatter_reduce_(0, self.slot * n_latents + self.latent, self.value, "amax")
        return out.view(len(self.images), n_latents)


def batches(
    coder: Any, store: Any, point: str, rows: Rows, *, n_images: int, only: np.ndarray | None = None
) -> Iterator[Batch]:
    """Encode the store, `n_images` images at a time.

    Args:
        only: indices into `rows.images` (sorted) to read; None reads all of them.
    """
    order = np.arange(len(rows.images)) if only is None else only
    for start in range(0, len(order), n_images):
        chosen = order[start : start + n_images]
        spans = [(int(rows.first[i]), int(rows.first[i + 1])) for i in chosen]
        x = torch.cat([store.read(point, a, b) for a, b in _merge(spans)]).float()
        slot = np.repeat(np.arange(len(chosen)), [b - a for a, b in spans])
        cell = np.concatenate([rows.cell[a:b] for a, b in spans])
        row, latent, value = active(coder, x)
        yield Batch(
            images=torch.from_numpy(rows.images[chosen]),
            slot=torch.from_numpy(slot)[row],
            cell=torch.from_numpy(cell)[row],
            latent=latent,
            value=value,
            tokens=len(x),
        )


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that touch, so that neighbours are read at once."""
    out: list[tuple[int, int]] = []
    for a, b in spans:
        if out and out[-1][1] == a:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


@torch.no_grad()
def active(coder: Any, x: Float[Tensor, "rows d"]) -> tuple[Tensor, Tensor, Tensor]:
    """The coder's active latents on some rows: row, latent and value (> 0) of each."""
    codes = coder.encode(x)
    if isinstance(codes, Tensor):
        row, latent = torch.nonzero(codes > 0, as_tuple=True)
        return row, latent, codes[row, latent].float()
    values, indices = codes.values.detach().float(), codes.indices.long()
    keep = values > 0
    row = torch.arange(len(values))[:, None].expand_as(values)
    return row[keep], indices[keep], values[keep]
