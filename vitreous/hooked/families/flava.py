"""FLAVA's image and text towers: ViT's older block, with attention that does not ask for an attention function."""

from vitreous.hooked.families.bert_kin import TEXT_POOLER, bert_embed
from vitreous.hooked.families.vit import NO_POOLER, POOLER, VIT_EMBED, legacy_block
from vitreous.hooked.family import Entry, Family
from vitreous.hooked.site import Norm, Out

FLAVA_BLOCK = legacy_block("softmax")
_LAST = {"ln_final": Norm("layernorm", also="hook_ln_final")}

FLAVA_VISION = Family(
    name="flava",
    kind="vision",
    classes={
        "FlavaModel": Entry(
            "image_model",
            call="get_image_features",
            head={**POOLER, "hook_post_proj": Out("/image_projection")},
            inert=("pool.*",),
        ),
        "FlavaImageModel": Entry(head=POOLER, drop=NO_POOLER),
    },
    embed=VIT_EMBED,
    layers="encoder.layer",
    block=FLAVA_BLOCK,
    head=_LAST,
    special=("cls",),
    processor="FlavaImageProcessorPil",
    example=("facebook/flava-full",),
)
"""FlavaModel projects every position (`hook_post_proj`); its pooler runs, and nothing reads it."""

FLAVA_TEXT = Family(
    name="flava-text",
    kind="text",
    classes={
        "FlavaModel": Entry(
            "text_model",
            call="get_text_features",
            head={**TEXT_POOLER, "hook_post_proj": Out("/text_projection")},
            inert=("pool.*",),
        ),
        "FlavaTextModel": Entry(head=TEXT_POOLER),
    },
    embed=bert_embed(),
    layers="encoder.layer",
    block=FLAVA_BLOCK,
    head=_LAST,
    example=("facebook/flava-full",),
)
