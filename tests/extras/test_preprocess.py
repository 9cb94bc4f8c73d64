"""Preprocessing in PIL against timm's and open_clip's own transforms, on images of every shape."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from tests.extras.tiny_open_clip import TINY as OPEN_CLIP
from tests.extras.tiny_timm import TINY as TIMM
from vitreous.errors import UnsupportedError
from vitreous.hooked import HookedCLIP, HookedViT
from vitreous.hooked.transform import own_transform

SHAPES = ((50, 40), (40, 50), (33, 200), (32, 32), (20, 20), (71, 30), (640, 427))


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SHAPES]


@pytest.mark.parametrize("crop_mode", [None, "center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [None, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest", "lanczos"])
def test_timm(crop_mode: str | None, crop_pct: float | None, interpolation: str) -> None:
    native: Any = TIMM[0].native()
    native.pretrained_cfg = {
        "input_size": (3, 32, 32),
        "crop_mode": crop_mode,
        "crop_pct": crop_pct,
        "interpolation": interpolation,
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
    }
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(native))
    model = HookedViT.from_native(native)
    for picture in pictures():
        assert torch.equal(model.preprocess(picture)[0], theirs(picture)), picture.size


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_open_clip(mode: str, interpolation: str) -> None:
    native: Any = OPEN_CLIP[0].native()
    config = {"size": (32, 32), "resize_mode": mode, "interpolation": interpolation, "fill_color": 7}
    set_model_preprocess_cfg(native, vars(PreprocessCfg(**config)))
    theirs = image_transform_v2(PreprocessCfg(**config), is_train=False)
    model = HookedCLIP.from_native(native)
    for picture in pictures():
        assert torch.equal(model.preprocess(picture)[0], theirs(picture)), picture.size


def test_pictures_come_back() -> None:
    model = HookedViT.from_native(TIMM[0].native())
    exact = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    model.native.pretrained_cfg = {"crop_pct": 1.0}
    back = model.unprocess(model.preprocess(exact))[0]
    assert np.abs(np.asarray(back).astype(int) - np.asarray(exact)).max() <= 1


def test_what_is_not_known_is_an_error() -> None:
    native: Any = TIMM[0].native()
    native.pretrained_cfg = {"interpolation": "random"}
    with pytest.raises(UnsupportedError, match="'random' is not known; known: nearest"):
        own_transform(native, (32, 32))
