"""Tiny vision-language models that read the image by cross-attention, or through learnt queries; see `tests.tiny`."""

from collections.abc import Callable
from typing import Any

import torch
import transformers

from tests.tiny import IMAGE, SHAPE, Tiny, dual, ids, pixels
from tests.tiny_vlm import DECODER, IMAGE_TOKEN, PAD, sequence, with_pixels


def blip() -> Any:
    return dual("BlipConfig", text={"encoder_hidden_size": 32})()


OPT: dict[str, Any] = {
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 120,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
}


TEXT: dict[str, Any] = DECODER
QFORMER: dict[str, Any] = {
    **SHAPE,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "vocab_size": 120,
    "encoder_hidden_size": 32,
}


def qformer(name: str, text: Any, **options: Any) -> Callable[[], Any]:
    """BLIP-2 and its kin: three layers of Q-Former, of which two read the image."""
    return lambda: getattr(transformers, f"{name}Config")(
        vision_config={**SHAPE, **IMAGE},
        qformer_config={**QFORMER, **options},
        text_config=text(),
        num_query_tokens=5,
        image_token_index=IMAGE_TOKEN,
    )


def opt() -> Any:
    return transformers.OPTConfig(**OPT, word_embed_proj_dim=32)


def instructed() -> dict[str, Any]:
    """An instruction for the Q-Former, too, of which the second is shorter."""
    rows = {f"qformer_{key}": value for key, value in ids("InstructBlip").items()}
    return {**with_pixels(5)(), **rows}


def llama() -> Any:
    return transformers.LlamaConfig(**TEXT)


VQ: dict[str, Any] = {
    "embed_dim": 8,
    "base_channels": 32,
    "channel_multiplier": [1, 1],
    "num_res_blocks": 1,
    "num_embeddings": 16,
}


def kosmos() -> Any:
    text = {"embed_dim": 32, "layers": 2, "ffn_dim": 64, "attention_heads": 4}
    return transformers.Kosmos2Config(
        vision_config={**SHAPE, **IMAGE},
        text_config={**text, "vocab_size": 120, "max_position_embeddings": 64, "pad_token_id": PAD},
        latent_query_num=5,
    )


def marked() -> dict[str, Any]:
    """Where the image goes is a mask."""
    rows = with_pixels(5)()
    return {**rows, "image_embeds_position_mask": (rows["input_ids"] == IMAGE_TOKEN).long()}


def janus() -> Any:
    return transformers.JanusConfig(
        vision_config={**SHAPE, **IMAGE, "mlp_ratio": 2.0, "projection_dim": 32},
        text_config=llama(),
        vq_config=VQ,
        image_token_id=IMAGE_TOKEN,
    )


def mllama() -> Any:
    """Images of up to two tiles; the second of three language layers reads them."""
    tiles = {"max_num_tiles": 2, "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]]}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "attention_heads": 4}
    layers = {"num_global_layers": 1, "intermediate_layers_indices": [0], "vision_output_dim": 64}
    return transformers.MllamaConfig(
        vision_config={**sizes, **layers, **tiles, "image_size": 16, "patch_size": 8},
        text_config={
            **TEXT,
            "bos_token_id": 1,
            "eos_token_id": 119,
            "num_hidden_layers": 3,
            "cross_attention_layers": [1],
        },
        image_token_index=IMAGE_TOKEN,
    )


def tiled() -> dict[str, Any]:
    """A square image, of one tile, and a wide one; tokens before the image do not see it."""
    rows = sequence(1)
    seen = (rows["input_ids"] == IMAGE_TOKEN).cumsum(1)
    there = torch.tensor([[[1, 0]], [[1, 1]]])
    return {
        **rows,
        "pixel_values": pixels(batch=4, size=16).unflatten(0, (2, 1, 2)),
        "aspect_ratio_ids": torch.tensor([[1], [2]]),
        "aspect_ratio_mask": there,
        "cross_attention_mask": seen[:, :, None, None] * there[:, None],
    }


def florence() -> Any:
    """Two stages of one and two blocks; windows of three do not divide the second stage's four rows."""
    sizes = {"embed_dim": [16, 32], "depths": [1, 2], "num_heads": [2, 4], "num_groups": [2, 4]}
    convs = {"patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1], "patch_prenorm": [False, True]}
    words = {"vocab_size": 120, "d_model": 32, "max_position_embeddings": 64, "pad_token_id": PAD}
    heads = {
        f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in (("layers", 2), ("attention_heads", 4))
    }
    tokens = {"bos_token_id": 1, "eos_token_id": 119, "decoder_start_token_id": 119, "forced_eos_token_id": None}
    return transformers.Florence2Config(
        vision_config={**sizes, **convs, "window_size": 3, "mlp_ratio": 2.0, "projection_dim": 32},
        text_config={"model_type": "bart", **words, **heads, **tokens, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64},
        image_token_id=IMAGE_TOKEN,
    )


def answered() -> dict[str, Any]:
    """A prompt with an image, and the beginning of an answer."""
    return {**with_pixels(17)(), "decoder_input_ids": torch.tensor([[119, 1, 30, 31], [119, 1, 40, 41]])}


READER_TINY: tuple[Tiny, ...] = (
    Tiny("BlipForConditionalGeneration", blip, "vlm", given=lambda: {**ids("Blip"), "pixel_values": pixels()}),
    Tiny("Blip2ForConditionalGeneration", qformer("Blip2", opt), "vlm", given=with_pixels(5)),
    Tiny("InstructBlipForConditionalGeneration", qformer("InstructBlip", llama), "vlm", given=instructed),
    Tiny("JanusForConditionalGeneration", janus, "vlm", given=with_pixels(16)),
    Tiny("Kosmos2ForConditionalGeneration", kosmos, "vlm", given=marked),
    Tiny("MllamaForConditionalGeneration", mllama, "vlm", given=tiled),
    Tiny("Florence2ForConditionalGeneration", florence, "vlm", given=answered),
)
