"""Qwen's vision towers: patches of all images one after the other, in windows or whole images; rotary positions.

The native stream is `[pos, d]`; hooks see `[1, pos, d]`. Positions of one merged patch (2 x 2) follow one another, and
in Qwen 2.5 those of one window do. Patterns are block-diagonal: one block for an image, or a window of it. Alone, a
tower takes its native arguments: `model({"hidden_states": patches, "grid_thw": grid})`.
"""

from dataclasses import replace
from functools import partial

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Out

_block = partial(pre_ln, ln1="norm1", attn="attn", out="proj", qkv=("qkv",), ln2="norm2", mlp_out="mlp", route="varlen")

QWEN2_VISUAL = Family(
    name="qwen2-visual",
    kind="vision",
    classes={"Qwen2VisionTransformerPretrainedModel": Entry()},
    embed={"hook_embed": Out("patch_embed")},
    layers="blocks",
    block=_block(pre="mlp.fc1", post="mlp.fc2"),
    packed=True,
    interpolate="always",
    rotary=True,
    sizes={"d_model": "embed_dim"},
    processor="Qwen2VLImageProcessorPil",
)
QWEN25_VISUAL = replace(
    QWEN2_VISUAL,
    name="qwen2.5-visual",
    classes={"Qwen2_5_VisionTransformerPretrainedModel": Entry()},
    block=_block(pre="mlp.gate_proj", pre_linear="mlp.up_proj", post="mlp.down_proj"),
    sizes={},
)
QWEN3_VISUAL = replace(
    QWEN2_VISUAL,
    name="qwen3-visual",
    classes={"Qwen3VLVisionModel": Entry()},
    block=_block(pre="mlp.linear_fc1", post="mlp.linear_fc2"),
    sizes={},
)
