"""The evaluation transforms of timm and open_clip in PIL, bit for bit, without torchvision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from vitreous.errors import UnsupportedError

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Transform:
    """Resize, cut or pad to the middle, scale to 0..1, normalise; called like an image processor of transformers.

    Attributes:
        size: height and width of what comes out.
        resized: height and width that the image is resized to, or that decide how far.
        mode: `shortest`: the shorter side fits, the rest is cut; `longest`: the longer side fits, the rest is padded;
            `squash`: both fit, the aspect ratio is lost.
        resample: key of `RESAMPLING`.
        image_mean: per channel, of pixels in 0..1.
        image_std: per channel.
        fill: colour of the padding, 0..255.
    """

    size: tuple[int, int]
    resized: tuple[int, int]
    mode: str
    resample: str
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    fill: tuple[int, int, int] = (0, 0, 0)
    rescale_factor: float = 1 / 255

    def __call__(self, images: Sequence[Image.Image], return_tensors: str = "pt") -> dict[str, Tensor]:
        """Pixels of RGB images: `pixel_values`, `[b, 3, h, w]`."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.image_mean, self.image_std))
        pixels = [torch.from_numpy(np.array(self._fit(image))).permute(2, 0, 1).float().div(255) for image in images]
        return {"pixel_values": torch.stack([(p - mean) / std for p in pixels])}

    def _fit(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        rows, cols = self.resized
        if self.mode == "shortest" and rows == cols:  # as torchvision does, which rounds down
            small, large = sorted((width, height))
            long = int(rows * large / small)
            new = (rows, long) if width <= height else (long, rows)
        elif self.mode == "squash":
            new = (cols, rows)
        else:
            ratio = (max if self.mode == "longest" else min)(height / rows, width / cols)
            new = (round(width / ratio), round(height / ratio))
        if new != image.size:
            image = image.resize(new, RESAMPLING[self.resample])
        return self._middle(image)

    def _middle(self, image: Image.Image) -> Image.Image:
        rows, cols = self.size
        across, down = max(cols - image.width, 0), max(rows - image.height, 0)
        if across or down:
            border = (across // 2, down // 2, (across + 1) // 2, (down + 1) // 2)
            image = ImageOps.expand(image, border, self.fill)
        top, left = round((image.height - rows) / 2.0), round((image.width - cols) / 2.0)
        return image.crop((left, top, left + cols, top + rows))


def own_transform(native: nn.Module, size: tuple[int, int]) -> Transform | None:
    """The evaluation transform that a timm or open_clip model says it needs; None for any other model.

    Args:
        native: the model.
        size: height and width that it takes.

    Raises:
        UnsupportedError: for an interpolation or crop mode that is not known.
    """
    config = getattr(getattr(native, "visual", native), "preprocess_cfg", None)
    if config is not None:
        return _open_clip(config, size)
    if getattr(native, "pretrained_cfg", None):
        return _timm(native.pretrained_cfg, size)
    return None


def _open_clip(config: Any, size: tuple[int, int]) -> Transform:
    return Transform(
        size=size,
        resized=size,
        mode=_known(config["resize_mode"], {"shortest": "shortest", "longest": "longest", "squash": "squash"}),
        resample=_known("bilinear" if config["interpolation"] == "bilinear" else "bicubic", RESAMPLING),
        image_mean=tuple(config["mean"]),
        image_std=tuple(config["std"]),
        fill=(config.get("fill_color", 0),) * 3,
    )


def _timm(config: Any, size: tuple[int, int]) -> Transform:
    crop = config.get("crop_pct") or 0.875
    mean = tuple(config.get("mean") or (0.485, 0.456, 0.406))
    mode = _known(config.get("crop_mode") or "center", {"center": "shortest", "squash": "squash", "border": "longest"})
    return Transform(
        size=size,
        resized=(math.floor(size[0] / crop), math.floor(size[1] / crop)),
        mode=mode,
        resample=_known(config.get("interpolation") or "bicubic", RESAMPLING),
        image_mean=mean,
        image_std=tuple(config.get("std") or (0.229, 0.224, 0.225)),
        fill=(round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2])),
    )


def _known(value: str, table: Any) -> str:
    """The table's word for a value, or the value where the table is a set of values."""
    if value not in table:
        raise UnsupportedError(f"preprocessing {value!r} is not known; known: {', '.join(table)}")
    return table[value] if isinstance(table[value], str) else value
