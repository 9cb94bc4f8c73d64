"""Single streams of image and text: ViLT, and FLAVA's multimodal encoder on top of its two towers."""

from vitreous.hooked.families.flava import FLAVA_BLOCK
from vitreous.hooked.families.vit import NO_POOLER, POOLER
from vitreous.hooked.family import Entry, Family
from vitreous.hooked.site import Norm, Out, Parameter

_LAST = {"ln_final": Norm("layernorm", also="hook_ln_final")}

VILT = Family(
    name="vilt",
    kind="fusion",
    classes={
        "ViltModel": Entry(head=POOLER, drop=NO_POOLER),
        "ViltForQuestionAnswering": Entry("vilt", head={**POOLER, "head.hook_out": Out("/classifier")}),
        "ViltForImageAndTextRetrieval": Entry("vilt", head={**POOLER, "head.hook_out": Out("/rank_output")}),
    },
    embed={
        "hook_text_embed": Out("embeddings.text_embeddings"),
        "hook_embed": Out("embeddings.patch_embeddings", layout="b d h w"),
        "hook_pos_embed": Parameter("embeddings", "position_embeddings"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.layer",
    block=FLAVA_BLOCK,
    head=_LAST,
    processor="ViltImageProcessorPil",
    example=("dandelin/vilt-b32-finetuned-vqa",),
)
"""Text first, then CLS and the patches in an order that the native forward draws (see `HookedFusion`)."""

FLAVA_FUSION = Family(
    name="flava-multimodal",
    kind="fusion",
    classes={
        "FlavaModel": Entry("multimodal_model", head=POOLER),
        "FlavaMultimodalModel": Entry(head=POOLER, drop=NO_POOLER),
    },
    embed={
        "hook_image_embed": Out("/image_to_mm_projection", optional=True),
        "hook_text_embed": Out("/text_to_mm_projection", optional=True),
    },
    layers="encoder.layer",
    block=FLAVA_BLOCK,
    head=_LAST,
    processor="FlavaImageProcessorPil",
    example=("facebook/flava-full",),
)
"""A CLS of its own, then what the image tower and the text tower put out. Their points are in `HookedCLIP`."""
