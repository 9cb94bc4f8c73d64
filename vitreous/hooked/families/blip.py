"""BLIP's image tower: CLIP's block with a fused qkv projection that does not ask for an attention function."""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out, Parameter

BLIP_BLOCK = pre_ln(
    ln1="layer_norm1",
    attn="self_attn",
    out="projection",
    qkv=("qkv",),
    ln2="layer_norm2",
    pre="mlp.fc1",
    post="mlp.fc2",
    mlp_out="mlp",
    route="softmax",
)

BLIP_VISION = Family(
    name="blip",
    kind="vision",
    classes={
        "BlipModel": Entry(
            "vision_model", call="get_image_features", head={"hook_post_proj": Out("/visual_projection")}
        ),
        "BlipVisionModel": Entry(),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embedding", layout="b d h w"),
        "hook_pos_embed": Parameter("embeddings", "position_embedding"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.layers",
    block=BLIP_BLOCK,
    head={
        "ln_final": Norm("post_layernorm", also="hook_ln_final", nth=1),
        "pool.ln": Norm("post_layernorm", also="pool.hook_out", nth=2),
    },
    special=("cls",),
    processor="BlipImageProcessorPil",
    example=("Salesforce/blip-image-captioning-base",),
)
"""The final norm runs twice: on every position (`ln_final`), and once more on CLS (`pool.ln`)."""
