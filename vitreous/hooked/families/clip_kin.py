"""Models with CLIP's towers under other class names: MetaCLIP 2, and the vision towers of ChineseCLIP and AltCLIP."""

from dataclasses import replace

from vitreous.hooked.families.clip import CLIP_TEXT, CLIP_VISION
from vitreous.hooked.family import Entry
from vitreous.hooked.site import Out

_IMAGE = {"hook_post_proj": Out("/visual_projection")}
_TEXT = {"hook_post_proj": Out("/text_projection")}

METACLIP2_VISION = replace(
    CLIP_VISION,
    name="metaclip2",
    classes={
        "MetaClip2Model": Entry("vision_model", call="get_image_features", head=_IMAGE),
        "MetaClip2VisionModel": Entry(),
        "MetaClip2VisionModelWithProjection": Entry("vision_model", head=_IMAGE),
    },
    example=("facebook/metaclip-2-worldwide-huge-quickgelu",),
)

METACLIP2_TEXT = replace(
    CLIP_TEXT,
    name="metaclip2-text",
    classes={
        "MetaClip2Model": Entry("text_model", call="get_text_features", head=_TEXT),
        "MetaClip2TextModel": Entry(),
        "MetaClip2TextModelWithProjection": Entry("text_model", head=_TEXT),
    },
    example=("facebook/metaclip-2-worldwide-huge-quickgelu",),
)

CHINESE_CLIP_VISION = replace(
    CLIP_VISION,
    name="chinese-clip",
    classes={
        "ChineseCLIPModel": Entry("vision_model", call="get_image_features", head=_IMAGE),
        "ChineseCLIPVisionModel": Entry(),
    },
    processor="ChineseCLIPImageProcessorPil",
    example=("OFA-Sys/chinese-clip-vit-base-patch16",),
)

ALTCLIP_VISION = replace(
    CLIP_VISION,
    name="altclip",
    classes={
        "AltCLIPModel": Entry("vision_model", call="get_image_features", head=_IMAGE),
        "AltCLIPVisionModel": Entry(),
    },
    example=("BAAI/AltCLIP",),
)
