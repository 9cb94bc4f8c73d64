"""One tiny random vision-language model per family, with inputs for it; see `tests.tiny`."""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.tiny import IMAGE, PATCH, SHAPE, Tiny, pixels

IMAGE_TOKEN, START_TOKEN, PAD = 7, 8, 0
DECODER = {**SHAPE, "num_key_value_heads": 2, "vocab_size": 120, "pad_token_id": PAD}
SMALL = {**SHAPE, "image_size": 16, "patch_size": PATCH}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}


def sequence(*n_image: int, before: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """Two rows of ids with one image each, at different places; the shorter one is padded on the left.

    Args:
        *n_image: tokens of each row's image; one number for both.
        before: ids that stand before an image.
    """
    first, second = n_image if len(n_image) == 2 else n_image * 2
    rows = [[1, 30, *before, *[IMAGE_TOKEN] * first, 20, 21, 22], [1, *before, *[IMAGE_TOKEN] * second, 40, 41]]
    longest = max(map(len, rows))
    ids = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def with_pixels(*n_image: int, size: int = 32, **more: Any) -> Callable[[], dict[str, Any]]:
    """Token ids and one square image per row."""
    return lambda: {**sequence(*n_image), "pixel_values": pixels(size=size), **more}


def with_types(*n_image: int) -> dict[str, Any]:
    """As `with_pixels`, and which tokens are images'."""
    given = with_pixels(*n_image)()
    return {**given, "token_type_ids": (given["input_ids"] == IMAGE_TOKEN).long()}


def with_tiles(*n_image: int) -> Callable[[], dict[str, Any]]:
    """A wide and a high image: the whole and two tiles of each."""
    tiles = pixels(batch=6, size=16).unflatten(0, (2, 3))
    sizes = torch.tensor([[16, 32], [32, 16]])
    return lambda: {**sequence(*n_image), "pixel_values": tiles, "image_sizes": sizes}


def with_patches(side: int = PATCH) -> dict[str, Any]:
    """Qwen: the patches of a 4 x 8 and a 6 x 4 image, in two frames each, packed."""
    grid = torch.tensor([[1, 4, 8], [1, 6, 4]])
    given = sequence(8, 6, before=(START_TOKEN,))
    patches = torch.randn(32 + 24, 3 * 2 * side**2, generator=torch.Generator().manual_seed(0))
    types = (given["input_ids"] == IMAGE_TOKEN).int()
    return {**given, "pixel_values": patches, "image_grid_thw": grid, "mm_token_type_ids": types}


def packed() -> dict[str, Any]:
    """What Qwen's tower takes alone."""
    given = with_patches()
    return {"hidden_states": given["pixel_values"], "grid_thw": given["image_grid_thw"]}


def vlm(name: str, vision: Any, text: Any, **options: Any) -> Callable[[], Any]:
    """A configuration of two configurations, each a (class, fields)."""
    towers = {"vision_config": vision, "text_config": text}
    made = {key: getattr(transformers, cls) for key, (cls, _) in towers.items()}
    options = {"image_token_id": IMAGE_TOKEN, **options}
    return lambda: getattr(transformers, name)(**{k: made[k](**towers[k][1]) for k in towers}, **options)


def decoder(cls: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """A language model's configuration."""
    return cls, {**DECODER, **options}


def tower(cls: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """A vision tower's configuration."""
    return cls, {**SHAPE, **IMAGE, **options}


_TILES = {"image_grid_pinpoints": [[16, 32], [32, 16]]}
_SIGLIP = tower("SiglipVisionConfig")
_GEMMA3 = decoder(
    "Gemma3TextConfig",
    head_dim=8,
    sliding_window=6,
    layer_types=["sliding_attention", "full_attention"],
    query_pre_attn_scalar=8,
)
_GEMMA2 = decoder("Gemma2Config", head_dim=8, sliding_window=6, query_pre_attn_scalar=8, final_logit_softcapping=3.0)
_INTERNVL = {"image_seq_length": 4, "downsample_ratio": 0.5}
_PIXTRAL = tower("PixtralVisionConfig")
_RESAMPLER = {
    "hidden_size": 32,
    "resampler_n_latents": 3,
    "resampler_depth": 2,
    "resampler_n_heads": 4,
    "resampler_head_dim": 8,
    "num_key_value_heads": 2,
}
_QWEN_VISION = {"depth": 2, "num_heads": 4, "patch_size": PATCH, "hidden_size": 32, "intermediate_size": 64}
_QWEN = {"vision_start_token_id": START_TOKEN, "video_token_id": 9, "vision_end_token_id": 10}
_VISUAL2 = ("Qwen2VLVisionConfig", {**_QWEN_VISION, "embed_dim": 32, "mlp_ratio": 2, "hidden_size": 32})
_VISUAL25 = (
    "Qwen2_5_VLVisionConfig",
    {**_QWEN_VISION, "window_size": 32, "fullatt_block_indexes": [1], "out_hidden_size": 32},
)
_VISUAL3 = (
    "Qwen3VLVisionConfig",
    {
        **_QWEN_VISION,
        "depth": 3,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
        "out_hidden_size": 32,
    },
)

VLM_TINY: tuple[Tiny, ...] = (
    Tiny(
        "LlavaForConditionalGeneration",
        vlm("LlavaConfig", tower("CLIPVisionConfig"), decoder("LlamaConfig")),
        "vlm",
        given=with_pixels(16),
    ),
    Tiny(
        "LlavaForConditionalGeneration",
        vlm(
            "LlavaConfig",
            _PIXTRAL,
            decoder("MistralConfig", sliding_window=None, head_dim=16),
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        ),
        "vlm",
        note="pixtral",
        given=with_pixels(16, image_sizes=torch.tensor([[32, 32], [32, 32]])),
    ),
    Tiny(
        "LlavaNextForConditionalGeneration",
        vlm("LlavaNextConfig", ("CLIPVisionConfig", SMALL), decoder("MistralConfig", sliding_window=6), **_TILES),
        "vlm",
        given=with_tiles(14, 16),
    ),
    Tiny(
        "LlavaOnevisionForConditionalGeneration",
        vlm("LlavaOnevisionConfig", ("SiglipVisionConfig", SMALL), decoder("Qwen2Config"), **_TILES),
        "vlm",
        given=with_tiles(14, 16),
    ),
    Tiny(
        "AyaVisionForConditionalGeneration",
        vlm(
            "AyaVisionConfig",
            _SIGLIP,
            decoder(
                "Cohere2Config", logit_scale=0.25, sliding_window=6, layer_types=["sliding_attention", "full_attention"]
            ),
            alignment_intermediate_size=48,
        ),
        "vlm",
        given=with_pixels(4),
    ),
    Tiny(
        "Mistral3ForConditionalGeneration",
        vlm("Mistral3Config", _PIXTRAL, decoder("MistralConfig", sliding_window=None)),
        "vlm",
        given=with_pixels(4, image_sizes=torch.tensor([[32, 32], [32, 32]])),
    ),
    Tiny(
        "InternVLForConditionalGeneration",
        vlm("InternVLConfig", tower("InternVLVisionConfig", use_qk_norm=True), decoder("Qwen2Config"), **_INTERNVL),
        "vlm",
        given=with_pixels(4),
    ),
    Tiny(
        "InternVLForConditionalGeneration",
        vlm(
            "InternVLConfig",
            tower("InternVLVisionConfig", use_mean_pooling=False, norm_type="rms_norm"),
            decoder("Qwen3Config", head_dim=16),
            **_INTERNVL,
        ),
        "vlm",
        note="normed",
        given=with_pixels(4),
    ),
    Tiny(
        "PaliGemmaForConditionalGeneration",
        vlm("PaliGemmaConfig", _SIGLIP, decoder("GemmaConfig", head_dim=8), projection_dim=32),
        "vlm",
        given=lambda: with_types(16),
    ),
    Tiny(
        "PaliGemmaForConditionalGeneration",
        vlm("PaliGemmaConfig", _SIGLIP, _GEMMA2, projection_dim=32),
        "vlm",
        note="gemma2",
        given=lambda: with_types(16),
    ),
    Tiny(
        "Gemma3ForConditionalGeneration",
        vlm("Gemma3Config", _SIGLIP, _GEMMA3, mm_tokens_per_image=4),
        "vlm",
        given=lambda: with_types(4),
    ),
    Tiny(
        "Idefics3ForConditionalGeneration",
        vlm("Idefics3Config", tower("Idefics3VisionConfig"), decoder("LlamaConfig"), scale_factor=2),
        "vlm",
        given=lambda: {**sequence(4), "pixel_values": pixels()[:, None]},
    ),
    Tiny(
        "Idefics2ForConditionalGeneration",
        vlm(
            "Idefics2Config",
            tower("Idefics2VisionConfig", num_hidden_layers=1),  # float32 rounds off too much over six layers in a row
            decoder("MistralConfig", sliding_window=None),
            perceiver_config=_RESAMPLER,
        ),
        "vlm",
        given=lambda: {**sequence(3), "pixel_values": pixels()[:, None]},
    ),
    Tiny(
        "SmolVLMForConditionalGeneration",
        vlm("SmolVLMConfig", tower("SmolVLMVisionConfig"), decoder("LlamaConfig"), scale_factor=2),
        "vlm",
        given=lambda: {**sequence(4), "pixel_values": pixels()[:, None]},
    ),
    Tiny(
        "Qwen2VLForConditionalGeneration",
        vlm("Qwen2VLConfig", _VISUAL2, decoder("Qwen2VLTextConfig", rope_parameters=ROPE), **_QWEN),
        "vlm",
        given=with_patches,
    ),
    Tiny(
        "Qwen2_5_VLForConditionalGeneration",
        vlm("Qwen2_5_VLConfig", _VISUAL25, decoder("Qwen2_5_VLTextConfig", rope_parameters=ROPE), **_QWEN),
        "vlm",
        given=with_patches,
    ),
    Tiny(
        "Qwen3VLForConditionalGeneration",
        vlm(
            "Qwen3VLConfig",
            _VISUAL3,
            decoder("Qwen3VLTextConfig", num_hidden_layers=3, head_dim=8, rope_parameters=ROPE),
            **_QWEN,
        ),
        "vlm",
        given=with_patches,
    ),
)
"""Towers that take something else than in the rows above, alone."""
VLM_TINY += (
    Tiny("PixtralVisionModel", lambda: transformers.PixtralVisionConfig(**_PIXTRAL[1]), given=lambda: pixels(batch=1)),
    Tiny("InternVLVisionModel", lambda: transformers.InternVLVisionConfig(**tower("")[1])),
    Tiny(
        "Qwen2_5_VisionTransformerPretrainedModel",
        lambda: transformers.Qwen2_5_VLVisionConfig(**_VISUAL25[1]),
        given=packed,
    ),
)
