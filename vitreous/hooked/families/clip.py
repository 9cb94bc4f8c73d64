"""CLIP (OpenAI, LAION, DataComp checkpoints in the transformers format)."""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out, Parameter

CLIP_BLOCK = pre_ln(
    ln1="layer_norm1",
    attn="self_attn",
    out="out_proj",
    ln2="layer_norm2",
    pre="mlp.fc1",
    post="mlp.fc2",
    mlp_out="mlp",
)
TEXT_EMBED = {
    "hook_embed": Out("embeddings.token_embedding"),
    "hook_pos_embed": Out("embeddings.position_embedding"),
    "hook_full_embed": Out("embeddings"),
}
_IMAGE = {"hook_post_proj": Out("/visual_projection")}
_TEXT = {"hook_post_proj": Out("/text_projection")}

CLIP_VISION = Family(
    name="clip",
    kind="vision",
    classes={
        "CLIPModel": Entry("vision_model", call="get_image_features", head=_IMAGE),
        "CLIPVisionModel": Entry(),
        "CLIPVisionModelWithProjection": Entry("vision_model", head=_IMAGE),
        "CLIPForImageClassification": Entry(
            "vision_model", head={"head.hook_out": Out("/classifier")}, inert=("ln_final.*", "hook_ln_final")
        ),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embedding", layout="b d h w"),
        "hook_pos_embed": Parameter("embeddings", "position_embedding"),
        "hook_full_embed": Out("embeddings"),
        "ln_pre": Norm("pre_layrnorm", also="hook_ln_pre"),
    },
    layers="encoder.layers",
    block=CLIP_BLOCK,
    head={"ln_final": Norm("post_layernorm", also="hook_ln_final")},
    special=("cls",),
    processor="CLIPImageProcessorPil",
    example=("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14"),
)

CLIP_TEXT = Family(
    name="clip-text",
    kind="text",
    classes={
        "CLIPModel": Entry("text_model", call="get_text_features", head=_TEXT),
        "CLIPTextModel": Entry(),
        "CLIPTextModelWithProjection": Entry("text_model", head=_TEXT),
    },
    embed=TEXT_EMBED,
    layers="encoder.layers",
    block=CLIP_BLOCK,
    head={"ln_final": Norm("final_layer_norm", also="hook_ln_final")},
    example=("openai/clip-vit-base-patch32",),
)
