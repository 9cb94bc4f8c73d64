"""SigLIP: no CLS, no pre-norm, images pooled by one attention layer with a learnt query (the MAP head)."""

from vitreous.hooked.families.clip import CLIP_BLOCK, TEXT_EMBED
from vitreous.hooked.families.vit import CLASSIFIER
from vitreous.hooked.family import Entry, Family
from vitreous.hooked.site import Attention, In, Norm, Out, Parameter, Site

MAP_HEAD: dict[str, Site] = {
    "pool.attn": Attention("head.attention", out="out_proj", qkv=(), route="mode", optional=True),
    "pool.hook_attn_out": Out("head.attention", optional=True),
    "pool.ln": Norm("head.layernorm", optional=True),
    "pool.mlp.hook_pre": Out("head.mlp.fc1", optional=True),
    "pool.mlp.hook_post": In("head.mlp.fc2", optional=True),
    "pool.hook_mlp_out": Out("head.mlp", optional=True),
    "pool.hook_out": Out("head", optional=True),
}

SIGLIP_VISION = Family(
    name="siglip",
    kind="vision",
    classes={
        "SiglipModel": Entry("vision_model", call="get_image_features"),
        "SiglipVisionModel": Entry(),
        "SiglipForImageClassification": Entry("vision_model", head=CLASSIFIER, inert=("pool.*",)),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embedding", layout="b d h w"),
        "hook_pos_embed": Parameter("embeddings", "position_embedding"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.layers",
    block=CLIP_BLOCK,
    head={"ln_final": Norm("post_layernorm", also="hook_ln_final"), **MAP_HEAD},
    processor="SiglipImageProcessorPil",
    example=("google/siglip-base-patch16-224",),
)

SIGLIP_TEXT = Family(
    name="siglip-text",
    kind="text",
    classes={
        "SiglipModel": Entry("text_model", call="get_text_features"),
        "SiglipTextModel": Entry(),
    },
    embed=TEXT_EMBED,
    layers="encoder.layers",
    block=CLIP_BLOCK,
    head={"ln_final": Norm("final_layer_norm", also="hook_ln_final"), "hook_post_proj": Out("head")},
    padding="max_length",
    example=("google/siglip-base-patch16-224",),
)
