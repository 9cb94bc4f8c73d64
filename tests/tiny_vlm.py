"""One tiny random vision-language model per family, with inputs for it; see `tests.tiny`."""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.tiny import IMAGE, SHAPE, Tiny, pixels

IMAGE_TOKEN, PAD = 7, 0
DECODER = {**SHAPE, "num_key_value_heads": 2, "vocab_size": 120, "pad_token_id": PAD}


def sequence(n_image: int, token: int = IMAGE_TOKEN) -> dict[str, Tensor]:
    """Two rows of ids with one image each, at different places; the second is padded on the left."""
    image = [token] * n_image
    rows = [[1, 30, *image, 20, 21, 22], [PAD, PAD, 1, *image, 40, 41]]
    ids = torch.tensor(rows)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def with_pixels(n_image: int, **options: Any) -> Callable[[], dict[str, Any]]:
    """Token ids and one square image per row."""
    return lambda: {**sequence(n_image, **options), "pixel_values": pixels()}


def llava() -> Any:
    return transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**SHAPE, **IMAGE),
        text_config=transformers.LlamaConfig(**DECODER),
        image_token_id=IMAGE_TOKEN,
    )


VLM_TINY: tuple[Tiny, ...] = (Tiny("LlavaForConditionalGeneration", llava, "vlm", given=with_pixels(16)),)
