"""Images to pixels and back, with the model's own preprocessing in its PIL/numpy version (never torchvision)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.hooked.family import Family


def to_images(images: Any) -> list[Image.Image]:
    """One image or several, as PIL images or as anything with an `image` (such as `vitreous.data.item.Item`); RGB.

    Raises:
        BadInputError: for anything else, or for nothing.
    """
    several = images if isinstance(images, Sequence) else [images]
    plain = [getattr(image, "image", image) for image in several]
    for i, image in enumerate(plain):
        if not isinstance(image, Image.Image):
            raise BadInputError(f"image {i} is a {type(image).__name__}; give PIL images or Items")
    if not plain:
        raise BadInputError("no images were given")
    return [image if image.mode == "RGB" else image.convert("RGB") for image in plain]


def to_pixels(processor: Any, images: Any) -> Float[Tensor, "b c h w"]:
    """Preprocessed pixels, float32 on the CPU."""
    pixels = processor(images=to_images(images), return_tensors="pt")["pixel_values"].float()
    return pixels.flatten(0, 1) if pixels.dim() == 5 else pixels  # VideoMAE's takes a list of images for a clip


def to_clips(processor: Any, clips: Any, n_frames: int) -> Float[Tensor, "b t c h w"]:
    """Preprocessed clips: `n_frames` evenly spaced frames of each.

    Args:
        processor: the image processor of a frame.
        clips: the frames of one clip, or a list of clips.
        n_frames: frames that the model takes.

    Raises:
        BadInputError: for a clip with fewer frames.
    """
    several = clips if isinstance(clips, Sequence) and clips and isinstance(clips[0], Sequence) else [clips]
    made = []
    for clip in several:
        frames = to_images(clip)
        if len(frames) < n_frames:
            raise BadInputError(f"the model takes clips of {n_frames} frames, got one of {len(frames)}")
        chosen = np.linspace(0, len(frames) - 1, n_frames).round().astype(int)
        made.append(to_pixels(processor, [frames[i] for i in chosen]))
    return torch.stack(made)


def to_pictures(processor: Any, pixels: Float[Tensor, "b c h w"]) -> list[Image.Image]:
    """The inverse of normalisation and rescaling, clipped to 0..255; cropping cannot be undone."""
    values = rearrange(pixels.detach().float().cpu(), "b c h w -> b h w c")
    if getattr(processor, "do_normalize", True):
        values = values * torch.tensor(processor.image_std) + torch.tensor(processor.image_mean)
    if getattr(processor, "do_rescale", True):
        values = values / processor.rescale_factor
    return [Image.fromarray(np.asarray(v)) for v in values.round().clamp(0, 255).to(torch.uint8)]


def image_processor(source: str | None, family: Family, image_size: tuple[int, int], **options: Any) -> Any:
    """The PIL version of a checkpoint's image processor.

    Args:
        source: local folder or hub id; None when there is no checkpoint.
        family: names the class to fall back on.
        image_size: height and width that the fallback resizes to.
        **options: passed to `from_pretrained` (revision).
    """
    if source is not None and (not Path(source).is_dir() or _configured(Path(source)) is not None):
        name = _type_name(source)
        cls = getattr(transformers, name, None) or getattr(transformers, family.processor)
        try:
            return cls.from_pretrained(source, **options)
        except OSError:
            if Path(source).is_dir():
                raise
    return fallback(family, image_size)


def fallback(family: Family, image_size: tuple[int, int]) -> Any:
    """The family's usual preprocessing, at the model's own image size."""
    cls = getattr(transformers, family.processor)
    usual = cls()
    height, width = image_size
    if not getattr(usual, "do_center_crop", False):
        return cls(size={"height": height, "width": width})
    edge = dict(usual.size).get("shortest_edge") or dict(usual.size).get("height") or height
    ratio = edge / dict(usual.crop_size)["height"]
    resized = round(ratio * min(height, width))
    size = {"shortest_edge": resized} if "shortest_edge" in dict(usual.size) else {"height": resized, "width": resized}
    return cls(size=size, crop_size={"height": height, "width": width})


def _configured(folder: Path) -> dict[str, Any] | None:
    """The saved options of an image processor, wherever this version of transformers put them."""
    for file, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        if (folder / file).is_file():
            saved = json.loads((folder / file).read_text())
            saved = saved.get(key) if key else saved
            if saved:
                return saved
    return None


def _type_name(source: str) -> str:
    """Name of the PIL class of a saved image processor; empty when it does not say."""
    if not Path(source).is_dir():
        return ""
    saved = _configured(Path(source)) or {}
    name = saved.get("image_processor_type") or saved.get("feature_extractor_type") or ""
    name = name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
    return f"{name}Pil" if name else ""
