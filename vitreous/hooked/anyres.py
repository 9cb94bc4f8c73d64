"""Layouts of images at their best resolution: LLaVA-NeXT's and LLaVA-OneVision's mosaics; Mllama's tiles."""

import math

from vitreous.errors import BadInputError
from vitreous.hooked import canvas
from vitreous.hooked.canvas import Size
from vitreous.hooked.crop import Crop, Picture, Setting, original, side
from vitreous.hooked.tower import two


def best_resolution(size: Size, choices: list[Size]) -> Size:
    """The resolution that keeps most pixels of an image and, of those that do, wastes least.

    >>> best_resolution((100, 200), [(64, 64), (64, 128), (128, 64)])
    (64, 128)
    """
    most, least, best = 0, math.inf, choices[0]
    for height, width in choices:
        scale = min(width / size[1], height / size[0])
        kept = min(int(size[1] * scale) * int(size[0] * scale), size[0] * size[1])
        wasted = height * width - kept
        if kept > most or (kept == most and wasted < least):
            most, least, best = kept, wasted, (height, width)
    return best


def unpadding(size: Size, rows: int, cols: int) -> Size:
    """Rows above (and below) and columns left (and right) of a mosaic that hold nothing but padding.

    The native model rounds down twice, so up to a row of padding may stay.
    """
    height, width = size
    if width / height > cols / rows:
        return (rows - int(round(height * (cols / width), 7))) // 2, 0
    return 0, (cols - int(round(width * (rows / height), 7))) // 2


def mosaic(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The whole image, then the unpadded mosaic of its tiles with a newline after each row: LLaVA-NeXT.

    The tiles are crops of the vision tower only: in the sequence their rows run through, as crop 1.
    """
    size, n, patch = original(picture), side(setting), setting.patch[0]
    tile = two(setting.vision.image_size)[0]
    choices = [(int(h), int(w)) for h, w in setting.config.image_grid_pinpoints]
    best = best_resolution(size, choices)
    rows, cols = best[0] // tile * n, best[1] // tile * n
    top, left = unpadding(size, rows, cols)
    fit = canvas.anyres(size, best)
    seen = fit.original((left * patch, top * patch, (cols - left) * patch, (rows - top) * patch))
    base = Crop((n, n), canvas.whole(size), True, setting.kept)
    return base, Crop((rows - 2 * top, cols - 2 * left), seen, newline=True)


def shrunk_mosaic(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """As LLaVA-NeXT's, but a mosaic that is too large is shrunk; several images are not tiled: LLaVA-OneVision."""
    n = side(setting)
    if picture.video:
        return _clip(picture, n)
    if not picture.alone:
        size, length = original(picture), max(original(picture))
        seen = canvas.centred(size).original((0, 0, length, length))
        return (Crop((n, n), seen, True, setting.kept, after=("newline",)),)
    base, tiles = mosaic(picture, setting)
    rows, cols = tiles.grid
    most = int(str(getattr(setting.config, "vision_aspect_ratio", "anyres_max_9")).removeprefix("anyres_max_"))
    ratio = math.sqrt(rows * cols / (most * n**2))
    if ratio > 1.1:
        rows, cols = int(rows // ratio), int(cols // ratio)
    return base, Crop((rows, cols), tiles.box, newline=True)


def _clip(picture: Picture, n: int) -> tuple[Crop, ...]:
    """Every frame pooled to half its rows, one newline at the end (LLaVA-OneVision's videos)."""
    assert picture.steps is not None
    steps, height, width = picture.steps
    half = math.ceil(n / 2)
    box = canvas.whole(picture.size or (height, width))
    return (Crop((half, half), box, True, after=("newline",), n_frames=steps),)


def cross_tiles(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The keys of cross-attention: each tile's class position, then its patches (Mllama).

    Raises:
        BadInputError: if the original's size is not known.
    """
    tile, n = two(setting.vision.image_size)[0], side(setting)
    most = int(setting.options.get("max_image_tiles") or setting.vision.max_num_tiles)
    if picture.size is None:
        raise BadInputError("which tile shows what depends on the image's original size; give image_sizes=")
    (rows, cols), fit = canvas.fitted(picture.size, tile, most)
    boxes = canvas.tiles((rows * tile, cols * tile), rows, cols)
    return tuple(Crop((n, n), fit.original(box), rows * cols == 1, ("cls",)) for box in boxes)
