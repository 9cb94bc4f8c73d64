"""How a processor lays an image on the canvas that a model sees: resizing, padding and cropping as arithmetic."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitreous.errors import UnsupportedError

Size = tuple[int, int]
"""Height and width in pixels."""
Number = float | int
Box = tuple[Number, Number, Number, Number]
"""x0, y0, x1, y1 in pixels; x1 and y1 are exclusive."""


@dataclass(frozen=True)
class Fit:
    """An image on a canvas.

    Attributes:
        size: of the original image.
        resized: height and width of the whole image on the canvas.
        corner: y and x of its upper left corner on the canvas: positive beside padding, negative where it is cropped.
    """

    size: Size
    resized: tuple[Number, Number]
    corner: tuple[Number, Number] = (0, 0)

    def original(self, box: Box) -> Box:
        """A box of the canvas in pixels of the original image; it may reach beyond the image, into the padding."""
        sy, sx = (full / part for full, part in zip(self.size, self.resized, strict=True))
        y, x = self.corner
        return (box[0] - x) * sx, (box[1] - y) * sy, (box[2] - x) * sx, (box[3] - y) * sy


def whole(size: Size) -> Box:
    """The box of a whole image."""
    return 0, 0, size[1], size[0]


def tiles(size: Size, rows: int, cols: int) -> list[Box]:
    """The boxes of the tiles of an image that is stretched over `rows` x `cols` of them, row by row.

    >>> tiles((10, 30), rows=1, cols=2)
    [(0.0, 0.0, 15.0, 10.0), (15.0, 0.0, 30.0, 10.0)]
    """
    height, width = size[0] / rows, size[1] / cols
    return [(c * width, r * height, (c + 1) * width, (r + 1) * height) for r in range(rows) for c in range(cols)]


def centred(size: Size) -> Fit:
    """An image in the middle of the smallest square around it.

    >>> centred((4, 10)).corner
    (3, 0)
    """
    side = max(size)
    return Fit(size, size, ((side - size[0]) // 2, (side - size[1]) // 2))


def letterboxed(size: Size, side: int, least: int) -> Fit:
    """An image whose longer edge is resized to `side`, its shorter one to no less than `least`, in a square (Janus)."""
    resized = tuple(max(round(n * side / max(size)), least) for n in size)
    corner = tuple((max(resized) - n) // 2 for n in resized)
    return Fit(size, (resized[0], resized[1]), (corner[0], corner[1]))


def anyres(size: Size, canvas: Size) -> Fit:
    """An image as large as fits, in the middle of a canvas (LLaVA-NeXT)."""
    scales = [full / n for full, n in zip(canvas, size, strict=True)]
    if scales[1] < scales[0]:
        resized = (min(math.ceil(size[0] * scales[1]), canvas[0]), canvas[1])
    else:
        resized = (canvas[0], min(math.ceil(size[1] * scales[0]), canvas[1]))
    return Fit(size, resized, ((canvas[0] - resized[0]) // 2, (canvas[1] - resized[1]) // 2))


def preprocessed(size: Size, setting: Mapping[str, Any]) -> Fit:
    """What the usual processors do: pad to a square (where asked), resize, crop the middle (where asked).

    Args:
        size: of the original image.
        setting: the processor's `do_resize`, `size`, `do_center_crop`, `crop_size`, `do_pad`.

    Raises:
        UnsupportedError: for a way of resizing that is not known here.
    """
    padded = centred(size) if setting.get("do_pad") else Fit(size, size)
    frame = (max(size), max(size)) if setting.get("do_pad") else size
    resized = _resized(frame, dict(setting.get("size") or {})) if setting.get("do_resize", True) else frame
    scale = [new / old for new, old in zip(resized, frame, strict=True)]
    corner = [c * s for c, s in zip(padded.corner, scale, strict=True)]
    if setting.get("do_center_crop"):
        crop = dict(setting["crop_size"])
        corner = [c - (n - crop[k]) // 2 for c, n, k in zip(corner, resized, ("height", "width"), strict=True)]
    return Fit(size, (size[0] * scale[0], size[1] * scale[1]), (corner[0], corner[1]))


def _resized(size: Size, target: dict[str, Any]) -> Size:
    target = {k: v for k, v in target.items() if v is not None}
    if set(target) == {"height", "width"}:
        return target["height"], target["width"]
    if set(target) == {"shortest_edge"}:
        short = int(target["shortest_edge"])
        long = int(short * max(size) / min(size))
        return (short, long) if size[0] < size[1] else (long, short)
    raise UnsupportedError(f"how a processor that resizes to {target} lays out an image is not known")


def tiling(size: Size, tile: Size, least: int, most: int) -> Size:
    """Rows and columns of the tiling whose shape is nearest to the image's (InternVL, Aya Vision, GOT-OCR2).

    Of equally near ones, the larger counts while the image covers more than half of it.

    >>> tiling((100, 300), (64, 64), least=1, most=6)
    (1, 3)
    """
    counts = range(1, most + 1)
    grids = sorted(((c, r) for c in counts for r in counts if least <= c * r <= most), key=lambda g: g[0] * g[1])
    best, found = math.inf, (1, 1)
    for cols, rows in grids:
        miss = abs(size[1] / size[0] - cols / rows)
        large = size[0] * size[1] > 0.5 * tile[0] * tile[1] * cols * rows
        if miss < best or (miss == best and large):
            best, found = miss, (cols, rows)
    return found[1], found[0]


def splitting(size: Size, longest: int, tile: int, limit: int = 4096) -> Size:
    """Rows and columns of the tiles of an image whose longer edge is resized to `longest` (Idefics3, SmolVLM).

    Returns:
        (0, 0) for an image that is no larger than a tile.
    """
    height, width = size
    ratio = width / height
    if width >= height:
        width, height = longest, int(longest / ratio)
        height += height % 2
    else:
        height, width = longest, int(longest * ratio)
        width += width % 2
    height, width = max(height, 1), max(width, 1)
    ratio = width / height
    if width >= height and width > limit:
        height, width = int(limit / ratio), limit
    elif height > width and height > limit:
        height, width = limit, int(limit * ratio)
    ratio = max(width, 1) / max(height, 1)
    if width >= height:
        cols = math.ceil(width / tile)
        rows = math.ceil(int(cols * tile / ratio) / tile)
    else:
        rows = math.ceil(height / tile)
        cols = math.ceil(int(rows * tile * ratio) / tile)
    return (rows, cols) if rows > 1 or cols > 1 else (0, 0)


def fitted(size: Size, tile: int, most: int) -> tuple[Size, Fit]:
    """Rows and columns of the smallest canvas of tiles that need not shrink the image, and the image on it (Mllama).

    Where every canvas shrinks it, the one that shrinks it least; of several, the one with the smallest area.
    """
    grids = [(r, c) for r in range(1, most + 1) for c in range(1, most + 1) if r * c <= most]
    scales = [min(r * tile / size[0], c * tile / size[1]) for r, c in grids]
    up = [s for s in scales if s >= 1]
    chosen = min(up) if up else max(scales)
    rows, cols = min((g for g, s in zip(grids, scales, strict=True) if s == chosen), key=lambda g: g[0] * g[1])
    goal = [min(max(n, tile), k * tile) for n, k in zip(size, (rows, cols), strict=True)]
    scale_y, scale_x = goal[0] / size[0], goal[1] / size[1]
    if scale_x < scale_y:
        resized = (min(math.floor(size[0] * scale_x) or 1, goal[0]), goal[1])
    else:
        resized = (goal[0], min(math.floor(size[1] * scale_y) or 1, goal[1]))
    return (rows, cols), Fit(size, resized)


def panned(size: Size, least: int, most: int, ratio: float) -> list[Box]:
    """The crops of an image that is much longer than wide or wider than long (Gemma 3's pan and scan); often none."""
    long, short = max(size), min(size)
    if long / short < ratio:
        return []
    n = min(most, max(2, min(long // least, math.floor(long / short + 0.5))))
    step = math.ceil(long / n)
    if min(step, short) < least:
        return []
    steps = [(i * step, min((i + 1) * step, long)) for i in range(n)]
    return [(a, 0, b, short) if size[1] >= size[0] else (0, a, short, b) for a, b in steps]
