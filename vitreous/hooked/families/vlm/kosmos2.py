"""Kosmos-2: learnt queries read CLIP's last layer, and a decoder with a norm inside attention and MLP (sub-LN)."""

from dataclasses import replace

from vitreous.hooked.families.clip import CLIP_VISION
from vitreous.hooked.family import Entry, Family, VLMFamily, pre_ln
from vitreous.hooked.site import Attention, In, Norm, Out, Parameter

KOSMOS2_VISION = replace(
    CLIP_VISION,
    name="kosmos-2-vision",
    classes={"Kosmos2VisionTransformer": Entry()},
    head={"ln_final": Norm("post_layernorm", also="hook_ln_final", nth=1)},
    example=("microsoft/kosmos-2-patch14-224",),
)

KOSMOS2_PROJECTION = Family(
    name="kosmos-2-projection",
    kind="connector",
    classes={"Kosmos2ImageToTextProjection": Entry()},
    embed={
        "ln_in": Norm("/vision_model.model.post_layernorm", nth=2, since="/vision_model.model"),
        "hook_in": In(""),
        "hook_full_embed": Out("dense"),
        "hook_query": Parameter("", "latent_query"),
        "attn": Attention("x_attn", out="out_proj"),
        "hook_out": Out(""),
    },
    layers="",
    block={},
)
"""The tower's final norm runs once more, on every position (`ln_in`); `hook_in` is that, divided by its length.

Queries attend to the image and to themselves.
"""

KOSMOS2_TEXT = Family(
    name="kosmos-2-text",
    kind="language",
    classes={"Kosmos2TextTransformer": Entry()},
    embed={
        "hook_embed": Out("embed_tokens", copy=True),
        "hook_pos_embed": Out("embed_positions", constant=True),
    },
    layers="layers",
    block=pre_ln(
        ln1="self_attn_layer_norm",
        attn="self_attn",
        attn_norm="self_attn.inner_attn_ln",
        out="out_proj",
        ln2="final_layer_norm",
        pre="ffn.fc1",
        mlp_norm="ffn.ffn_layernorm",
        post="ffn.fc2",
        mlp_out="ffn",
    ),
    head={"ln_final": Norm("layer_norm", also="hook_ln_final")},
    demands={"add_cross_attention": False},
)
"""All heads' z are normed together (`attn.ln`) before the output projection: a head's result depends on the others."""

KOSMOS2 = VLMFamily(
    name="kosmos-2",
    classes=("Kosmos2ForConditionalGeneration",),
    layout="queries",
    vision="vision_model.model",
    connector="image_to_text_projection",
    language="text_model.model",
    unembed="text_model.lm_head",
    image_token="",
    example=("microsoft/kosmos-2-patch14-224",),
)
"""Of the tower the stream is read, not the normed CLS. Where the image goes is a mask, no token."""
