"""AIMv2: RMSNorm, gated MLPs, a normed patch embedding, and (in the LiT model) attention pooling and a text tower."""

from vitreous.hooked.families.clip import TEXT_EMBED
from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Attention, Norm, Out, Parameter

_BLOCK = pre_ln(
    ln1="rms_norm1",
    attn="attention",
    out="out_proj",
    ln2="rms_norm2",
    pre="ffn.gate_proj",
    pre_linear="ffn.up_proj",
    post="ffn.down_proj",
    mlp_out="ffn",
)

AIMV2_VISION = Family(
    name="aimv2",
    kind="vision",
    classes={
        "Aimv2Model": Entry(
            "vision_model", call="get_image_features", head={"hook_post_proj": Out("/visual_projection")}
        ),
        "Aimv2VisionModel": Entry(),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embed", layout="b d h w"),
        "ln_embed": Norm("embeddings.rms_norm"),
        "hook_pos_embed": Parameter("embeddings", "position_embedding"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.layers",
    block=_BLOCK,
    head={
        "ln_final": Norm("rms_norm", also="hook_ln_final"),
        "pool.attn": Attention("head", qkv=(), route="mode", optional=True),
        "pool.hook_out": Out("head", optional=True),
    },
    interpolate="if is_native",
    processor="CLIPImageProcessorPil",
    example=("apple/aimv2-large-patch14-224", "apple/aimv2-large-patch14-224-lit"),
)

AIMV2_TEXT = Family(
    name="aimv2-text",
    kind="text",
    classes={
        "Aimv2Model": Entry("text_model", call="get_text_features", head={"hook_post_proj": Out("/text_projection")}),
        "Aimv2TextModel": Entry(),
    },
    embed=TEXT_EMBED,
    layers="encoder.layers",
    block=_BLOCK,
    head={"ln_final": Norm("rms_norm", also="hook_ln_final")},
    example=("apple/aimv2-large-patch14-224-lit",),
)
