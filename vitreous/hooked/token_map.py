"""Which position of a sequence is what: CLS, a register, a patch at (row, column), or text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vitreous.errors import BadInputError, unknown
from vitreous.hooked.canvas import Box
from vitreous.hooked.raster import mask_share, scatter

KINDS = frozenset(
    {"cls", "distillation", "register", "patch", "text", "image", "newline", "separator", "global", "query", "pad"}
)
"""Kinds of positions. Of a tower the first five. Of a sequence "text", "image" (stands for a place in an image),
"newline" (learned, after a row), "separator" (a token that marks an image, a row, a tile), "global" (a mean over an
image), "cls" (of the vision tower, kept), "query" (of a connector, without a place), "pad"."""


@dataclass(frozen=True)
class TokenMap:
    """The positions of one sequence: of a tower, or of the language model of a VLM.

    Only positions with a place (patches, image positions) have a row, a column, a frame and a box.

    Attributes:
        kind: per position one of `KINDS`.
        row: row in the grid of its crop, -1 without a place.
        col: column in the grid of its crop, -1 without a place.
        grid: rows and columns (of the first crop, where there are several); (0, 0) for text.
        patch_size: height and width of a patch in pixels of the model's input; (0, 0) for text and sequences.
        frame: time step (video), 0 for images, -1 without a place.
        tubelet: number of frames in a time step.
        image: number of the image in its sequence, from 0; -1 for text.
        crop: number of the crop of its image, in the order of the sequence; -1 for text.
        whole: whether its crop shows the whole image (the only view, a base image, a thumbnail).
        box: x0, y0, x1, y1: for patches in pixels of the model's input; in sequences in pixels of the original image,
            cut off at its edges (so that a position on nothing but padding has a box without an area).
        sizes: height and width of each image, in the pixels of `box`.
        token_id: ids of a sequence; empty for towers.
        token: the tokenizer's strings for them; empty without a tokenizer.
    """

    kind: tuple[str, ...]
    row: np.ndarray
    col: np.ndarray
    grid: tuple[int, int]
    patch_size: tuple[int, int]
    frame: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    tubelet: int = 1
    image: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    crop: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    whole: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    box: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int64))
    sizes: tuple[tuple[int, int], ...] = ()
    token_id: tuple[int, ...] = ()
    token: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        placed, (height, width) = self.row >= 0, self.patch_size
        corners = np.stack([self.col, self.row, self.col + 1, self.row + 1], -1) * [width, height, width, height]
        missing = {
            "frame": np.where(placed, 0, -1),
            "image": np.where(placed, 0, -1),
            "crop": np.where(placed, 0, -1),
            "whole": placed,
            "box": np.where(placed[:, None], corners, 0),
            "sizes": ((self.grid[0] * height, self.grid[1] * width),) if placed.any() else (),
        }
        for name, value in missing.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """Number of positions."""
        return len(self.kind)

    def __len__(self) -> int:
        return len(self.kind)

    def first(self, n: int) -> "TokenMap":
        """The map of the first `n` positions."""
        return self.take(np.arange(self.n)[:n])

    def take(self, order: np.ndarray) -> "TokenMap":
        """The map of some of the positions, or of all in another order."""
        names = ("row", "col", "frame", "image", "crop", "whole", "box")
        taken: dict[str, Any] = {name: getattr(self, name)[order] for name in names}
        for name in ("kind", "token_id", "token"):
            taken[name] = tuple(getattr(self, name)[i] for i in order) if getattr(self, name) else ()
        return replace(self, **taken)

    def index(self, kind: str = "all") -> Int[Tensor, "n"]:
        """Positions of one kind, in order.

        Args:
            kind: "all", or one of `KINDS`; several may be joined by "+", e.g. "cls+patch".

        Raises:
            UnknownNameError: for a kind that does not exist.
        """
        wanted = set(kind.split("+"))
        for name in wanted - {"all"}:
            if name not in KINDS:
                raise unknown("kind of position", name, KINDS | {"all"})
        return torch.tensor([i for i, k in enumerate(self.kind) if "all" in wanted or k in wanted], dtype=torch.long)

    def pixels(self, position: int) -> Box:
        """The box (x0, y0, x1, y1) of a position; x1 and y1 are exclusive. Whole numbers for the patches of a tower.

        Raises:
            BadInputError: if the position has no place.
        """
        if self.row[position] < 0:
            raise BadInputError(f"position {position} is {self.kind[position]!r}, not a patch; it covers no pixels")
        x0, y0, x1, y1 = self.box[position].tolist()
        return x0, y0, x1, y1

    def frames(self, position: int) -> range:
        """The frames of the clip that a position covers.

        Raises:
            BadInputError: if the position has no place.
        """
        self.pixels(position)
        start = int(self.frame[position]) * self.tubelet
        return range(start, start + self.tubelet)

    def positions(self, box: Sequence[float | int], image: int = 0) -> Int[Tensor, "n"]:
        """Positions that a box (x0, y0, x1, y1) touches, of every crop.

        Args:
            box: in pixels of the model's input for a tower, of the original image for a sequence.
            image: number of the image.
        """
        x0, y0, x1, y1 = box
        hit = (self.box[:, :2] < [x1, y1]).all(1) & (self.box[:, 2:] > [x0, y0]).all(1)
        return torch.from_numpy(np.flatnonzero(hit & self._placed(image)))

    def positions_of_mask(self, mask: np.ndarray | Tensor, threshold: float = 0.5, image: int = 0) -> Int[Tensor, "n"]:
        """Positions at least a share `threshold` of whose box a mask covers, of every crop; see `mask_share`."""
        share = self.mask_share(mask, image)
        return torch.from_numpy(np.flatnonzero((share >= threshold) & (share > 0)))

    def mask_share(self, mask: np.ndarray | Tensor, image: int = 0) -> np.ndarray:
        """The share of each position's box that a mask covers, 0 for positions without a place in the image.

        Args:
            mask: true or false per pixel, rows first, as large as the image.
            image: number of the image.

        Raises:
            BadInputError: for a mask of another size.
        """
        return mask_share(np.asarray(mask), self.box, self._placed(image), self._size(image))

    def to_grid(self, values: Tensor, image: int = 0, crop: int | None = None) -> Tensor:
        """Values of positions put where the positions are.

        Args:
            values: one value or vector per position, [pos] or [pos, ...].
            image: number of the image.
            crop: number of the crop; the one that shows the whole image when None.

        Returns:
            [row, col, ...], or [frame, row, col, ...] where there are several; nan where a place has no position.

        Raises:
            BadInputError: for values of another length, or a crop that does not exist.
        """
        if len(values) != self.n:
            raise BadInputError(f"one value per position is needed: there are {self.n}, got {len(values)}")
        at = self._of_crop(image, crop)
        return scatter(values[torch.from_numpy(at)], [axis[at] for axis in (self.frame, self.row, self.col)])

    def grid_of(self, image: int = 0, crop: int | None = None) -> tuple[int, int]:
        """Rows and columns of a crop; arguments and errors as in `to_grid`."""
        at = self._of_crop(image, crop)
        return int(self.row[at].max()) + 1, int(self.col[at].max()) + 1

    def crops(self, image: int = 0) -> list[int]:
        """Numbers of the crops of an image that have a grid."""
        return sorted({int(c) for c in self.crop[(self.image == image) & (self.row >= 0)]})

    def _of_crop(self, image: int, crop: int | None) -> np.ndarray:
        """Positions with a place in one crop."""
        placed = (self.image == image) & (self.row >= 0)
        chosen = np.flatnonzero(placed & (self.whole if crop is None else self.crop == crop))
        if not len(chosen):
            raise BadInputError(
                f"image {image} has no crop {crop}: it has {self.crops(image)}, of {len(self.sizes)} images"
            )
        return chosen

    def _placed(self, image: int) -> np.ndarray:
        """Positions with an area in one image."""
        self._size(image)
        return (self.image == image) & (self.row >= 0) & (self.box[:, 2:] > self.box[:, :2]).all(1)

    def _size(self, image: int) -> tuple[int, int]:
        if not 0 <= image < len(self.sizes):
            raise BadInputError(f"there is no image {image}: the sequence has {len(self.sizes)}")
        return self.sizes[image]

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """(kind, row, column) of every position."""
        return zip(self.kind, self.row.tolist(), self.col.tolist(), strict=True)


def image_tokens(
    special: tuple[str, ...],
    grid: tuple[int, int],
    patch_size: tuple[int, int],
    n_frames: int = 1,
    tubelet: int = 1,
    time_last: bool = False,
) -> TokenMap:
    """Special positions first, then the patches row by row (and time step by time step).

    Args:
        special: kinds of the positions before the patches.
        grid: rows and columns.
        patch_size: height and width of a patch in pixels.
        n_frames: number of time steps.
        tubelet: frames in a time step.
        time_last: the time steps of one patch follow one another, instead of the patches of one time step.

    >>> tokens = image_tokens(("cls",), grid=(2, 2), patch_size=(8, 8))
    >>> tokens.n, tokens.kind[0], tokens.index("patch").tolist(), tokens.pixels(4)
    (5, 'cls', [1, 2, 3, 4], (8, 8, 16, 16))
    """
    rows, cols = grid
    if time_last:
        row, col, frame = (axis.ravel() for axis in np.indices((rows, cols, n_frames)))
    else:
        frame, row, col = (axis.ravel() for axis in np.indices((n_frames, rows, cols)))
    none = np.full(len(special), -1)
    return TokenMap(
        kind=(*special, *("patch",) * (n_frames * rows * cols)),
        row=np.concatenate([none, row]),
        col=np.concatenate([none, col]),
        grid=grid,
        patch_size=patch_size,
        frame=np.concatenate([none, frame]),
        tubelet=tubelet,
    )


def text_tokens(n: int) -> TokenMap:
    """A sequence of `n` text positions."""
    none = np.full(n, -1)
    return TokenMap(kind=("text",) * n, row=none, col=none, grid=(0, 0), patch_size=(0, 0))
