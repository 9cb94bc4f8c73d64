"""SigLIP 2 with any aspect ratio (NaFlex): the tower takes patches and their shapes. Fixed sizes load as SigLIP."""

from dataclasses import replace

from vitreous.hooked.families.siglip import SIGLIP_TEXT, SIGLIP_VISION
from vitreous.hooked.families.vit import CLASSIFIER
from vitreous.hooked.family import Entry
from vitreous.hooked.site import Out, Parameter

SIGLIP2_VISION = replace(
    SIGLIP_VISION,
    name="siglip2",
    classes={
        "Siglip2Model": Entry("vision_model", call="get_image_features"),
        "Siglip2VisionModel": Entry(),
        "Siglip2ForImageClassification": Entry("vision_model", head=CLASSIFIER, inert=("pool.*",)),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embedding"),
        "hook_pos_embed": Parameter(
            "embeddings", "position_embedding", method="resize_positional_embeddings", always=True
        ),
        "hook_full_embed": Out("embeddings"),
    },
    interpolate="always",
    patches="b (h w) (p q c)",
    example=("google/siglip2-base-patch16-naflex",),
)

SIGLIP2_TEXT = replace(
    SIGLIP_TEXT,
    name="siglip2-text",
    classes={
        "Siglip2Model": Entry("text_model", call="get_text_features"),
        "Siglip2TextModel": Entry(),
    },
    example=("google/siglip2-base-patch16-naflex",),
)
