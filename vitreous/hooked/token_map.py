"""Which position of a sequence is what: CLS, a register, a patch at (row, column), or text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vitreous.errors import BadInputError, unknown


@dataclass(frozen=True)
class TokenMap:
    """The positions of one sequence.

    Attributes:
        kind: per position "cls", "distillation", "register", "patch" or "text".
        row: row of the patch in the grid, -1 for every other position.
        col: column of the patch in the grid, -1 for every other position.
        grid: rows and columns; (0, 0) for text.
        patch_size: height and width of a patch in pixels of the model's input; (0, 0) for text.
        frame: time step of the patch (video), 0 for images, -1 for every other position.
        tubelet: number of frames in a time step.
    """

    kind: tuple[str, ...]
    row: np.ndarray
    col: np.ndarray
    grid: tuple[int, int]
    patch_size: tuple[int, int]
    frame: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    tubelet: int = 1

    def __post_init__(self) -> None:
        if not len(self.frame):
            object.__setattr__(self, "frame", np.where(self.row >= 0, 0, -1))

    @property
    def n(self) -> int:
        """Number of positions."""
        return len(self.kind)

    def __len__(self) -> int:
        return self.n

    def first(self, n: int) -> "TokenMap":
        """The map of the first `n` positions."""
        return replace(self, kind=self.kind[:n], row=self.row[:n], col=self.col[:n], frame=self.frame[:n])

    def take(self, order: np.ndarray) -> "TokenMap":
        """The map of the same positions in another order."""
        kind = tuple(self.kind[i] for i in order)
        return replace(self, kind=kind, row=self.row[order], col=self.col[order], frame=self.frame[order])

    def index(self, kind: str = "all") -> Int[Tensor, "n"]:
        """Positions of one kind, in order.

        Args:
            kind: "all", or one of the kinds that occur; several may be joined by "+", e.g. "cls+patch".

        Raises:
            UnknownNameError: for a kind that this map does not have.
        """
        wanted = set(kind.split("+"))
        known = {"cls", "distillation", "register", "patch", "text"}
        for name in wanted - {"all"}:
            if name not in known:
                raise unknown("kind of position", name, known | {"all"})
        return torch.tensor([i for i, k in enumerate(self.kind) if "all" in wanted or k in wanted], dtype=torch.long)

    def pixels(self, position: int) -> tuple[int, int, int, int]:
        """The box (x0, y0, x1, y1) of a patch in pixels of the model's input; x1 and y1 are exclusive.

        Raises:
            BadInputError: if the position is not a patch.
        """
        row, col = int(self.row[position]), int(self.col[position])
        if row < 0:
            raise BadInputError(f"position {position} is {self.kind[position]!r}, not a patch; it covers no pixels")
        height, width = self.patch_size
        return col * width, row * height, (col + 1) * width, (row + 1) * height

    def frames(self, position: int) -> range:
        """The frames of the clip that a patch covers.

        Raises:
            BadInputError: if the position is not a patch.
        """
        self.pixels(position)
        start = int(self.frame[position]) * self.tubelet
        return range(start, start + self.tubelet)

    def positions(self, box: Sequence[float | int]) -> Int[Tensor, "n"]:
        """Patches that a box (x0, y0, x1, y1) in pixels of the model's input touches."""
        x0, y0, x1, y1 = box
        height, width = self.patch_size
        hit = (self.row >= 0) & (self.col * width < x1) & ((self.col + 1) * width > x0)
        hit &= (self.row * height < y1) & ((self.row + 1) * height > y0)
        return torch.from_numpy(np.flatnonzero(hit))

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


def unrolled(grid: tuple[int, int], strides: Sequence[tuple[int, int]]) -> np.ndarray:
    """The order of patches in which each pool reads contiguous groups (Hiera): old index of each new position.

    >>> unrolled((2, 4), [(2, 2)]).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    index = np.arange(grid[0] * grid[1]).reshape(1, *grid)
    for down, right in strides:
        n, rows, cols = index.shape
        parts = index.reshape(n, rows // down, down, cols // right, right).transpose(0, 2, 4, 1, 3)
        index = parts.reshape(-1, rows // down, cols // right)
    return index.ravel()


def text_tokens(n: int) -> TokenMap:
    """A sequence of `n` text positions."""
    none = np.full(n, -1)
    return TokenMap(kind=("text",) * n, row=none, col=none, grid=(0, 0), patch_size=(0, 0))
