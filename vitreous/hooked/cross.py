"""Token maps of what cross-attention reads: the keys of models that keep images out of their sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked.anyres import cross_tiles
from vitreous.hooked.canvas import Size
from vitreous.hooked.crop import Picture, Setting
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.sequence import Span, row_map
from vitreous.hooked.token_map import TokenMap


def key_maps(
    inputs: Mapping[str, Any], family: VLMFamily, setting: Setting, sizes: Sequence[Sequence[Size]] | None
) -> list[TokenMap]:
    """One map of the keys per row: image by image and tile by tile; tiles and images that are not there are "pad".

    Args:
        inputs: what the processor returned.
        family: with the layout "mark".
        setting: what the layout depends on.
        sizes: height and width of the original images of each row, in order.

    Raises:
        UnsupportedError: for a family without such keys.
        BadInputError: if there are no pixels, or the sizes are not those of the images.
    """
    if family.layout != "mark":
        raise UnsupportedError(f"{family.name} has its image tokens in the sequence; use token_map")
    pixels = inputs.get("pixel_values")
    if not isinstance(pixels, Tensor) or pixels.dim() != 6:
        raise BadInputError("keys need pixel_values [b, image, tile, c, h, w], as the processor returns them")
    n_rows, n_images, n_tiles = pixels.shape[:3]
    if sizes is None or len(sizes) != n_rows or max(map(len, sizes)) > n_images:
        raise BadInputError(f"sizes of the images of {n_rows} rows are needed, {n_images} or fewer each; got {sizes}")
    maps = []
    for row in sizes:
        parts = [cross_tiles(Picture(size=size), setting) for size in row]
        length = max((crop.n for crops in parts for crop in crops), default=0)
        starts = [image * n_tiles * length for image in range(len(parts))]
        spans = [
            Span(np.arange(start, start + len(crops) * length), crops, size)
            for start, crops, size in zip(starts, parts, row, strict=True)
        ]
        keys = np.zeros(n_images * n_tiles * length, dtype=np.int64)
        maps.append(replace(row_map(keys, keys != 0, spans, family), token_id=()))
    return maps
