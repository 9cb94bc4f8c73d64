"""Pixtral, the vision tower of Mistral's models.

It lays the patches of all images one after the other, `[1, pos, d]`, and masks what belongs to other images.
"""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out

PIXTRAL = Family(
    name="pixtral",
    kind="vision",
    classes={"PixtralVisionModel": Entry()},
    embed={
        "hook_embed": Out("patch_conv", layout="b d h w"),
        "ln_pre": Norm("ln_pre", also="hook_ln_pre"),
    },
    layers="transformer.layers",
    block=pre_ln(
        ln1="attention_norm",
        attn="attention",
        out="o_proj",
        ln2="ffn_norm",
        pre="feed_forward.gate_proj",
        pre_linear="feed_forward.up_proj",
        post="feed_forward.down_proj",
        mlp_out="feed_forward",
    ),
    interpolate="always",
    rotary=True,
    processor="PixtralImageProcessorPil",
)
