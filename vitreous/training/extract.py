"""One batch of images through a hooked model: activation rows and their provenance."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.training.shard import COLUMNS
from vitreous.training.source import BAD, Chunk

KINDS = ("cls", "register", "distillation", "patch", "text")


def last_layer(points: Sequence[str]) -> int | None:
    """The `stop_at_layer` that still reaches every point; None when one lies outside the blocks.

    >>> last_layer(["blocks.2.hook_resid_post", "blocks.0.hook_mlp_out"]), last_layer(["ln_final.hook_normalized"])
    (3, None)
    """
    found = [re.match(r"blocks\.(\d+)\.", point) for point in points]
    return None if not all(found) else 1 + max(int(match[1]) for match in found if match)


def pixels_of(model: Any, chunk: Chunk) -> Tensor | None:
    """Preprocessed images of a chunk; images that cannot be preprocessed are skipped. None if nothing is left."""
    images = [item.image for _, item in chunk.items]
    try:
        return model.preprocess(images) if images else None
    except BAD:
        parts = []
        for index, item in list(chunk.items):
            try:
                parts.append(model.preprocess([item.image]))
            except BAD as error:
                chunk.skip(index, error)
        return torch.cat(parts) if parts else None


@torch.no_grad()
def extract(
    model: Any, chunk: Chunk, points: Sequence[str], positions: Tensor, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Rows of every point and the provenance columns, image by image, position by position; {} if none is readable.

    Args:
        model: a hooked model.
        chunk: the images; unreadable ones are moved to its `skipped`.
        points: hook points with axes [batch, position, ...]; trailing axes are flattened.
        positions: which positions to keep.
        dtype: of the activations.
    """
    pixels = pixels_of(model, chunk)
    if pixels is None:
        return {}
    _, cache = model.run_with_cache(pixels, names_filter=list(points), stop_at_layer=last_layer(points))
    rows = {}
    for point in points:
        value = cache[point]
        if value.ndim < 3 or value.shape[1] != model.tokens.n:
            raise BadInputError(
                f"{point} has shape {tuple(value.shape)}: only points with one vector per position can be stored"
            )
        rows[point] = rearrange(value[:, positions].flatten(2), "b p d -> (b p) d").to("cpu", dtype)
    return {**rows, **_columns(model.tokens, [index for index, _ in chunk.items], positions)}


def _columns(tokens: Any, images: list[int], positions: Tensor) -> dict[str, Tensor]:
    kind = [KINDS.index(tokens.kind[int(p)]) for p in positions]
    per_position = {
        "position": positions,
        "kind": torch.tensor(kind),
        "row": torch.as_tensor(tokens.row)[positions],
        "col": torch.as_tensor(tokens.col)[positions],
    }
    columns = {name: value.repeat(len(images)) for name, value in per_position.items()}
    columns["image"] = torch.tensor(images).repeat_interleave(len(positions))
    return {name: columns[name].to(dtype) for name, dtype in COLUMNS.items()}
