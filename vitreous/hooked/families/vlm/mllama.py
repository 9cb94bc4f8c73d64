"""Mllama (Llama 3.2 Vision): images stay out of the sequence; some layers read them by gated cross-attention.

Images are cut into tiles, whose positions (CLS, patches, and padding to a multiple of 8) make one sequence. What the
language model reads is the last layer of the second, gated stack (`global.blocks.{i}`) beside some inner layers.
"""

from dataclasses import replace
from typing import Any

from vitreous.hooked.families.llama import LLAMA
from vitreous.hooked.family import PRE_LN, Entry, Family, Stack, VLMFamily, pre_ln
from vitreous.hooked.site import Attention, In, Norm, Out, Parameter, ResidPre, Scaled

_NAMES: dict[str, Any] = {
    "ln1": "input_layernorm",
    "attn": "self_attn",
    "out": "o_proj",
    "ln2": "post_attention_layernorm",
    "pre": "mlp.fc1",
    "post": "mlp.fc2",
}
_GATED: dict[str, Any] = {
    "attn_out": Scaled("self_attn", "gate_attn", tanh=True),
    "mlp_out": Scaled("mlp", "gate_ffn", tanh=True),
}
_GLOBAL = Stack(
    name="global",
    base="",
    layers="global_transformer.layers",
    block=pre_ln(**{**_NAMES, **_GATED}),
    embed={"hook_tile_embed": Out("post_tile_positional_embedding.embedding")},
)

MLLAMA_VISION = Family(
    name="mllama-vision",
    kind="vision",
    classes={"MllamaVisionModel": Entry(stacks=(_GLOBAL,))},
    embed={
        "hook_embed": Out("patch_embedding", layout="b d h w"),
        "hook_tile_embed": Out("pre_tile_positional_embedding.embedding"),
        "hook_pos_embed": Parameter("gated_positional_embedding", "embedding"),
        "hook_tile_pos_embed": Out("gated_positional_embedding.tile_embedding"),
        "hook_full_embed": Out("gated_positional_embedding"),
        "ln_pre": Norm("layernorm_pre", also="hook_ln_pre"),
    },
    layers="transformer.layers",
    block={**pre_ln(**_NAMES, mlp_out="mlp"), "hook_resid_pre": ResidPre(copy=True)},
    head={"ln_final": Norm("layernorm_post", also="hook_ln_final")},
    special=("cls",),
    interpolate="never",
    processor="MllamaImageProcessorPil",
    example=("meta-llama/Llama-3.2-11B-Vision",),
)

MLLAMA_PROJECTOR = Family(
    name="mllama-projector",
    kind="connector",
    classes={"Linear": Entry()},
    embed={"hook_in": In(""), "hook_out": Out("")},
    layers="",
    block={},
)

_CROSS = pre_ln(
    ln1="input_layernorm",
    attn="cross_attn",
    out="o_proj",
    attn_out=Scaled("cross_attn", "cross_attn_attn_gate", tanh=True),
    ln2="post_attention_layernorm",
    pre="mlp.gate_proj",
    pre_linear="mlp.up_proj",
    post="mlp.down_proj",
    mlp_out=Scaled("mlp", "cross_attn_mlp_gate", tanh=True, rows="full_text_row_masked_out_mask"),
)
_RENAMED = {"attn": "cross_attn", "hook_attn_out": "hook_cross_attn_out", "ln1": "ln1.hook_normalized"}

MLLAMA_TEXT = replace(
    LLAMA,
    name="mllama-text",
    classes={"MllamaTextModel": Entry()},
    embed={"hook_embed": Out("embed_tokens")},
    variants={
        "MllamaCrossAttentionDecoderLayer": {
            **{_RENAMED.get(key, key): site for key, site in _CROSS.items() if key},
            "ln1.hook_normalized": Out("input_layernorm"),
            "cross_attn": Attention("cross_attn", out="o_proj", total="hook_cross_attn_out"),
        }
    },
    sums=(*PRE_LN, ("hook_resid_pre", "hook_cross_attn_out", "hook_resid_mid")),
)
"""Layers read the text (`attn`) or the image (`cross_attn`), never both.

`ln1` of a cross-attention layer has no `hook_scale`: only queries read it, and they are normed once more.
What a cross-attention layer adds is gated; its MLP adds nothing at positions before the first image.
"""

MLLAMA = VLMFamily(
    name="mllama",
    classes=("MllamaForConditionalGeneration",),
    vision="model.vision_model",
    connector="model.multi_modal_projector",
    layout="mark",
    example=("meta-llama/Llama-3.2-11B-Vision",),
)
