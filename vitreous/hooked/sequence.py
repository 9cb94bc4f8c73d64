"""Token maps of a batch: each row's placeholders, filled in order with what its family's layout says of its images."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import length_hint
from typing import Any

import numpy as np
from torch import Tensor

from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked.canvas import Size, tiles
from vitreous.hooked.crop import Crop, Picture, Setting
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.layout import LAYOUTS
from vitreous.hooked.token_map import TokenMap

MARKS = re.compile(
    r"\[IMG_(BREAK|END)\]|<fake_token_around_image>|<global-img>|<row_\d+_col_\d+>|<\|vision_(start|end)\|>|</?img>|"
    r"<(start|begin|end)_of_image>|<\|(START|END)_OF_IMG\|>|TILE_(\d+|GLOBAL)|</?image>"
)
"""Tokens that mark an image and are not its placeholders, wherever they stand."""
SINGLE = frozenset({"grid", "llava", "letterbox", "queries", "florence"})
"""Layouts in which an image is one row of `pixel_values`."""
WORDY = frozenset({"pooled"})
"""Layouts that put words between the crops of an image; in all others what stands there only marks rows and tiles."""


@dataclass(frozen=True)
class Span:
    """The placeholders of one image in a row, and what they are."""

    at: np.ndarray
    crops: tuple[Crop, ...]
    size: Size


def token_maps(
    inputs: Mapping[str, Any],
    family: VLMFamily,
    setting: Setting,
    tokenizer: Any = None,
    sizes: Sequence[Sequence[Size]] | None = None,
) -> list[TokenMap]:
    """One map per row.

    Args:
        inputs: what the processor returned.
        family: names the layout.
        setting: what the layout depends on.
        tokenizer: gives the tokens' strings.
        sizes: height and width of the original images of each row, in order.

    Raises:
        BadInputError: if the placeholders are not as many as the images need, or sizes are needed and not there.
        UnsupportedError: for a family without a layout.
    """
    if family.layout not in LAYOUTS:
        raise UnsupportedError(f"where {family.name}'s image tokens are is not known; layouts: {sorted(LAYOUTS)}")
    if not isinstance(inputs.get("input_ids"), Tensor):
        raise BadInputError(f"a token map needs input_ids, as the processor returns them; got {sorted(inputs)}")
    ids = inputs["input_ids"].cpu().numpy()
    seen = np.ones_like(ids) if inputs.get("attention_mask") is None else inputs["attention_mask"].cpu().numpy()
    queues = [(places(inputs, ids, family, setting, v), pictures(inputs, family, sizes, v)) for v in (False, True)]
    maps = []
    for row in range(len(ids)):
        spans = [span for at, queue in queues for span in fill(np.flatnonzero(at[row]), queue, family, setting)]
        maps.append(row_map(ids[row], seen[row] != 0, sorted(spans, key=lambda s: s.at[0]), family, tokenizer))
    if family.layout != "outside" and (left := sum(length_hint(queue) for _, queue in queues)):
        raise BadInputError(f"{left} images are left over: the rows have fewer image tokens than the images need")
    return maps


def places(inputs: Mapping[str, Any], ids: np.ndarray, family: VLMFamily, setting: Setting, video: bool) -> np.ndarray:
    """Where placeholders are.

    Raises:
        UnsupportedError: if the configuration does not say which token they are.
    """
    if video:
        return ids == (getattr(setting.config, "video_token_id", None) or -1)
    if family.layout == "outside":
        return np.zeros_like(ids, dtype=bool)
    if inputs.get("image_embeds_position_mask") is not None:  # Kosmos-2 has an id per query
        return inputs["image_embeds_position_mask"].cpu().numpy() != 0
    token = getattr(setting.config, family.image_token, None)
    if token is None:
        raise UnsupportedError(f"{type(setting.config).__name__} has no {family.image_token}: no token is an image's")
    return ids == token


def pictures(
    inputs: Mapping[str, Any], family: VLMFamily, sizes: Sequence[Sequence[Size]] | None, video: bool
) -> Iterator[Picture]:
    """The images (or videos) of a batch in order; without anything that counts them, as many as are asked for."""
    grids: Any = _rows(inputs.get("video_grid_thw" if video else "image_grid_thw"))
    pixels = inputs.get("pixel_values_videos" if video else "pixel_values")
    shape: Any = tuple(pixels.shape) if isinstance(pixels, Tensor) else ()
    if video:
        if not grids and len(shape) == 5:
            grids = [(shape[1], shape[3], shape[4])] * shape[0]
        return iter([Picture(steps=(grid[0], grid[1], grid[2]), video=True) for grid in grids])
    told, known = _rows(inputs.get("image_sizes")), [tuple(size) for row in sizes or () for size in row]
    counts = inputs.get("batch_num_images")
    alone = [n == 1 for n in (int(c) for c in counts) for _ in range(n)] if counts is not None else []
    seen = (shape[-2], shape[-1]) if len(shape) > 2 else None
    n = max(map(len, (grids, told, known)))
    if n == 0 and pixels is not None:
        return repeat(Picture(pixels=seen), shape[0]) if family.layout in SINGLE else repeat(Picture(pixels=seen))
    columns: Any = (known or [None] * n, told or [None] * n, grids or [None] * n, alone or [True] * n)
    if len({len(column) for column in columns}) > 1:
        counted = f"sizes of {len(columns[0])} images were given, the processor returned {len(columns[1])}"
        raise BadInputError(f"{counted} and {len(columns[2])} grids")
    return iter([Picture(k, t, seen, g, a) for k, t, g, a in zip(*columns, strict=True)])


def _rows(value: Any) -> list[tuple[int, ...]]:
    """A table of whole numbers, or nothing."""
    return [] if value is None else [tuple(int(n) for n in row) for row in value]


def fill(at: np.ndarray, queue: Iterator[Picture], family: VLMFamily, setting: Setting) -> Iterator[Span]:
    """Takes images until the placeholders of a row are used up.

    Raises:
        BadInputError: if they do not come out even.
    """
    while len(at):
        picture = next(queue, None)
        if picture is None:
            raise BadInputError(f"{len(at)} image tokens of a row belong to no image")
        crops = LAYOUTS[family.layout](picture, setting)
        n = sum(crop.n for crop in crops)
        if not 0 < n <= len(at):
            raise BadInputError(
                f"an image needs {n} image tokens ({family.layout}: grids {[crop.grid for crop in crops]}), but the "
                f"row has only {len(at)} left; the processor was called with other settings than it holds, or the "
                "sizes are not those of the original images"
            )
        size = picture.size or (int(max(c.box[3] for c in crops)), int(max(c.box[2] for c in crops)))
        yield Span(at[:n], crops, size)
        at = at[n:]


def row_map(
    ids: np.ndarray, seen: np.ndarray, spans: Sequence[Span], family: VLMFamily, tokenizer: Any = None
) -> TokenMap:
    """The map of one row.

    Args:
        ids: of the tokens.
        seen: which are no padding.
        spans: its images, in order.
        family: names the layout.
        tokenizer: gives the tokens' strings.
    """
    tokens = tuple(tokenizer.convert_ids_to_tokens(ids.tolist())) if tokenizer is not None else ()
    n = len(ids)
    kind = ["text" if s else "pad" for s in seen]
    for i, token in enumerate(tokens):
        kind[i] = "separator" if seen[i] and MARKS.fullmatch(token) else kind[i]
    row, col, frame, image, crop = (np.full(n, -1) for _ in range(5))
    whole, box = np.zeros(n, dtype=bool), np.zeros((n, 4))
    for number, span in enumerate(spans):
        inside = np.arange(span.at[0], span.at[-1] + 1)
        image[inside] = number
        if family.layout not in WORDY:
            for i in inside:
                kind[i] = "separator"
        parts = [positions(c, span.size) for c in span.crops]
        for i, name in zip(span.at, (name for part in parts for name in part.kind), strict=True):
            kind[i] = name
        row[span.at], col[span.at], frame[span.at] = (
            np.concatenate([getattr(part, axis) for part in parts]) for axis in ("row", "col", "frame")
        )
        crop[span.at] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        whole[span.at] = np.repeat([c.whole for c in span.crops], [len(part) for part in parts])
        box[span.at] = np.concatenate([part.box for part in parts])
    return TokenMap(
        kind=tuple(kind),
        row=row,
        col=col,
        grid=spans[0].crops[0].grid if spans else (0, 0),
        patch_size=(0, 0),
        frame=frame,
        tubelet=spans[0].crops[0].tubelet if spans else 1,
        image=image,
        crop=crop,
        whole=whole,
        box=box,
        sizes=tuple(span.size for span in spans),
        token_id=tuple(ids.tolist()),
        token=tokens,
    )


def positions(crop: Crop, size: Size) -> TokenMap:
    """The placeholders of one crop, with their boxes in the original image."""
    (n_rows, n_cols), (x0, y0, x1, y1) = crop.grid, crop.box
    frame, row, col = (axis.ravel() for axis in np.indices((crop.n_frames, n_rows, n_cols + crop.newline)))
    kind = ["image" if c < n_cols else "newline" for c in col]
    cells = np.array(tiles((1, 1), n_rows, n_cols)) if n_rows and n_cols else np.zeros((0, 4))
    cells = cells * [x1 - x0, y1 - y0, x1 - x0, y1 - y0] + [x0, y0, x0, y0]
    cells = cells.clip(0, [size[1], size[0], size[1], size[0]])
    place = np.array([k == "image" for k in kind], dtype=bool)
    box = np.zeros((len(kind), 4))
    box[place] = np.tile(cells, (crop.n_frames, 1))
    before, after = (np.full(len(names), -1) for names in (crop.before, crop.after))
    row, col, frame = (np.concatenate([before, np.where(place, axis, -1), after]) for axis in (row, col, frame))
    nowhere = [np.zeros((len(names), 4)) for names in (crop.before, crop.after)]
    return TokenMap(
        kind=(*crop.before, *kind, *crop.after),
        row=row,
        col=col,
        grid=crop.grid,
        patch_size=(0, 0),
        frame=frame,
        box=np.concatenate([nowhere[0], box, nowhere[1]]),
    )
