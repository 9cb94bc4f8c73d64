"""The data files of the image view."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vitreous.dashboards import wire
from vitreous.dashboards.record import Record

SHARD = 16


def explore_info(record: Record) -> dict[str, Any] | None:
    """What the manifest says about the explorable pictures."""
    if record.codes is None:
        return None
    n = -(-len(record.codes.picture) // SHARD)
    return {
        "pictures": [int(p) for p in record.codes.picture],
        "shard_size": SHARD,
        "shards": [f"i_{i:04d}" for i in range(n)],
    }


def code_shards(record: Record) -> Iterator[dict[str, Any]]:
    """The codes of 16 pictures each; values have 16 bits relative to the picture's largest."""
    codes = record.codes
    if codes is None:
        return
    wide = "u4" if record.n_latents > 65536 else "u2"
    for first in range(0, len(codes.picture), SHARD):
        images = []
        for i in range(first, min(first + SHARD, len(codes.picture))):
            part = slice(int(codes.start[i]), int(codes.start[i + 1]))
            scale = float(codes.value[part].max(initial=0.0)) or 1.0
            images.append(
                {
                    "scale": scale,
                    "cell": wire.array(codes.cell[part], "u2"),
                    "latent": wire.array(codes.latent[part], wide),
                    "value": wire.array(np.rint(codes.value[part] / scale * 65535), "u2"),
                }
            )
        yield {"start": first, "images": images}
