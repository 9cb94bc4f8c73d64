"""open_clip's own towers: CLIP, CustomTextCLIP and CoCa, with `nn.MultiheadAttention` and raw projections."""

from dataclasses import replace

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Attention, In, Norm, Out, Parameter, Product, Site

_BLOCK = pre_ln(
    ln1="ln_1",
    attn="attn",
    out="out_proj",
    qkv=("in_proj",),
    attn_out=Out("ls_1", identity=True, scale="ls_1.gamma"),
    ln2="ln_2",
    pre="mlp.c_fc",
    post="mlp.c_proj",
    mlp_out=Out("ls_2", identity=True),
    route="mode",
)
_POOL: dict[str, Site] = {
    "pool.ln_k": Norm("attn_pool.ln_k", optional=True),
    "pool.ln_q": Norm("attn_pool.ln_q", optional=True),
    "pool.attn": Attention("attn_pool.attn", out="out_proj", qkv=(), route="mode", optional=True),
    "pool.hook_out": Out("attn_pool", optional=True),
}

OPEN_CLIP_VISION = Family(
    name="open-clip",
    kind="vision",
    classes={
        "open_clip.CLIP": Entry("visual", call="encode_image", argument="image"),
        "open_clip.CustomTextCLIP": Entry("visual", call="encode_image", argument="image"),
        "open_clip.CoCa": Entry("visual", call="visual", argument="x", whole="image"),
        "open_clip.VisionTransformer": Entry(argument="x"),
    },
    embed={
        "hook_embed": Out("conv1", layout="b d h w"),
        "hook_pos_embed": Parameter("", "positional_embedding"),
        "hook_full_embed": In("ln_pre", identity=True),
        "ln_pre": Norm("ln_pre", also="hook_ln_pre", optional=True),
    },
    layers="transformer.resblocks",
    layer=("ResidualAttentionBlock",),
    block=_BLOCK,
    head={**_POOL, "ln_final": Norm("ln_post", also="hook_ln_final"), "hook_post_proj": Out("")},
    special=("cls",),
    interpolate="never",
    sizes={"d_model": "transformer.width"},
    example=("open_clip:ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K"),
)

OPEN_CLIP_TEXT = Family(
    name="open-clip-text",
    kind="text",
    classes={"open_clip.CLIP": Entry("transformer", call="encode_text", argument="text")},
    embed={
        "hook_embed": Out("/token_embedding"),
        "hook_pos_embed": Parameter("/", "positional_embedding", within="encode_text"),
        "hook_full_embed": In(""),
    },
    layers="resblocks",
    layer=("ResidualAttentionBlock",),
    block=_BLOCK,
    head={
        "ln_final": Norm("/ln_final", also="hook_ln_final"),
        "hook_post_proj": Product("/", "text_projection", within="encode_text"),
    },
    padding="max_length",
    sizes={"d_model": "width", "n_ctx": "/context_length"},
    example=("open_clip:ViT-B-32/laion2b_s34b_b79k",),
)

OPEN_CLIP_CUSTOM_TEXT = replace(
    OPEN_CLIP_TEXT,
    name="open-clip-custom-text",
    classes={
        "open_clip.CustomTextCLIP": Entry("text", call="encode_text", argument="text"),
        "open_clip.CoCa": Entry("text", call="text", argument="text"),
        "open_clip.TextTransformer": Entry(argument="text"),
    },
    embed={
        "hook_embed": Out("token_embedding"),
        "hook_pos_embed": Parameter("", "positional_embedding"),
        "hook_full_embed": In("transformer"),
    },
    layers="transformer.resblocks",
    head={"ln_final": Norm("ln_final", also="hook_ln_final"), "hook_post_proj": Out("")},
    sizes={"d_model": "width", "n_ctx": "num_pos"},
    example=("open_clip:ViT-B-16-SigLIP/webli", "open_clip:coca_ViT-B-32/laion2b_s13b_b90k"),
)
