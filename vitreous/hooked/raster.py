"""Between pictures and positions: shares of a mask, values on a grid, orders of patches."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from vitreous.errors import BadInputError


def mask_share(
    mask: np.ndarray, box: Num[np.ndarray, "n 4"], among: Bool[np.ndarray, "n"], size: tuple[int, int]
) -> Float[np.ndarray, "n"]:
    """The share of each box that a mask covers; exact for boxes that do not end at whole pixels.

    Args:
        mask: true or false per pixel, rows first.
        box: x0, y0, x1, y1 of each, within the picture.
        among: for which boxes to compute it; they have an area. The share of all others is 0.
        size: height and width that the mask must have.

    Raises:
        BadInputError: for a mask of another size.
    """
    if mask.shape != size:
        raise BadInputError(f"the mask must be as large as the image, {size} (rows, columns), got {mask.shape}")
    total = np.zeros((size[0] + 1, size[1] + 1))
    total[1:, 1:] = (mask > 0).cumsum(0).cumsum(1)
    x0, y0, x1, y1 = box[among].T.astype(float)
    inside = _at(total, y1, x1) - _at(total, y0, x1) - _at(total, y1, x0) + _at(total, y0, x0)
    share = np.zeros(len(box))
    share[among] = inside / ((x1 - x0) * (y1 - y0))
    return share


def _at(table: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A table of sums between its entries, which is bilinear within a pixel."""
    top, left = (np.minimum(v.astype(int), n - 2) for v, n in zip((y, x), table.shape, strict=True))
    down, right = y - top, x - left
    upper = table[top, left] * (1 - right) + table[top, left + 1] * right
    lower = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def scatter(values: Tensor, where: Sequence[np.ndarray]) -> Tensor:
    """Values at their frames, rows and columns; nan where there is none.

    Args:
        values: [n, ...].
        where: frame, row and column of each.

    Returns:
        [row, col, ...]; [frame, row, col, ...] where there are several frames.
    """
    frame, row, col = (torch.from_numpy(axis).to(values.device) for axis in where)
    values = values if values.is_floating_point() else values.float()
    shape = [int(axis.max()) + 1 for axis in (frame, row, col)]
    out = values.new_full((*shape, *values.shape[1:]), float("nan"))
    out[frame, row, col] = values
    return out if shape[0] > 1 else out[0]


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
