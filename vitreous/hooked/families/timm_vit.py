"""timm's VisionTransformer: ViT, DeiT, DeiT-3, DINOv2, CLIP, SigLIP; LayerScale, registers, gated MLPs, poolings."""

from dataclasses import replace

from vitreous.hooked.family import Entry, Family, Table, pre_ln
from vitreous.hooked.site import Attention, Branch, In, Norm, Out, Parameter, ResidMid, Site

TRUNK = Entry(
    "visual.trunk",
    call="encode_image",
    argument="image",
    head={"hook_post_proj": Out("/visual")},
)
"""A timm model inside an open_clip model."""

MLP_ROWS = {
    "pre": Branch("mlp.fc1_g", "mlp.fc1", "mlp.fc2"),
    "pre_linear": Branch("mlp.fc1_x", "mlp.fc1", "mlp.fc2", linear=True),
    "mlp_norm": "mlp.norm",
    "post": "mlp.fc2",
}
TIMM_BLOCK = pre_ln(
    ln1="norm1",
    attn="attn",
    out="proj",
    qkv=("qkv",),
    attn_norm="attn.norm",
    attn_out=Out("drop_path1", identity=True, scale="ls1.gamma"),
    ln2="norm2",
    mlp_out=Out("drop_path2", identity=True),
    route="mode",
    **MLP_ROWS,
)
POOL: dict[str, Site] = {
    "pool.attn": Attention("attn_pool", out="proj", qkv=(), route="mode", optional=True),
    "pool.hook_attn_out": Out("attn_pool.proj_drop", optional=True),
    "pool.ln": Norm("attn_pool.norm", optional=True),
    "pool.mlp.hook_pre": Out("attn_pool.mlp.fc1", optional=True),
    "pool.mlp.hook_post": In("attn_pool.mlp.fc2", optional=True),
    "pool.hook_mlp_out": Out("attn_pool.mlp", optional=True),
}
FINAL: dict[str, Site] = {"ln_final": Norm("norm|fc_norm", also="hook_ln_final", optional=True)}
POOLED: dict[str, Site] = {"pool.hook_out": In("fc_norm", identity=True)}
CLASSIFIER: dict[str, Site] = {"head.hook_in": In("head", optional=True), "head.hook_out": Out("head", optional=True)}
SIZES = {"d_model": "embed_dim", "image_size": "patch_embed.img_size", "patch_size": "patch_embed.patch_size"}


def after_norm(block: Table, ln1: str, ln2: str) -> dict[str, Site]:
    """The rows of a block whose norms come after attention and MLP: `x + ln1(attn(x))`, then `x + ln2(mlp(x))`.

    Args:
        block: the rows of its pre-LN twin.
        ln1: the norm of what attention returns.
        ln2: the norm of what the MLP returns.
    """
    rows = {key: site for key, site in block.items() if key not in ("ln1", "ln2")}
    ordered: dict[str, Site] = {}
    for key, site in rows.items():
        if key in ("hook_attn_out", "hook_mlp_out"):
            name, norm = ("ln1", ln1) if key == "hook_attn_out" else ("ln2", ln2)
            ordered[name] = Norm(norm)
        ordered[key] = replace(site, norm="ln1") if isinstance(site, Attention) else site
    return ordered | {"hook_resid_mid": ResidMid("mlp")}


TIMM_VIT = Family(
    name="timm-vit",
    kind="vision",
    classes={
        "timm.VisionTransformer": Entry(argument="x"),
        "open_clip.CLIP": TRUNK,
        "open_clip.CustomTextCLIP": TRUNK,
    },
    embed={
        "hook_embed": Out("patch_embed.proj", layout="b d h w"),
        "ln_embed": Norm("patch_embed.norm", optional=True),
        "hook_pos_embed": Parameter("", "pos_embed"),
        "hook_full_embed": In("norm_pre", identity=True),
        "ln_pre": Norm("norm_pre", also="hook_ln_pre", optional=True),
    },
    layers="blocks",
    layer=("Block",),
    block=TIMM_BLOCK,
    head={**FINAL, **POOL, **POOLED, **CLASSIFIER},
    special=("cls*cls_token", "register*reg_token"),
    interpolate="if dynamic_img_size",
    sizes=SIZES,
    example=("timm/vit_base_patch16_224.augreg_in21k_ft_in1k", "timm/vit_base_patch14_dinov2.lvd142m"),
)

TIMM_DEIT = replace(
    TIMM_VIT,
    name="timm-deit-distilled",
    classes={"timm.VisionTransformerDistilled": Entry(argument="x")},
    head={
        **FINAL,
        **CLASSIFIER,
        "head_dist.hook_in": In("head_dist", optional=True),
        "head_dist.hook_out": Out("head_dist", optional=True),
    },
    special=("cls", "distillation"),
    example=("timm/deit_base_distilled_patch16_224.fb_in1k",),
)

TIMM_VIT_AFTER_NORM = replace(
    TIMM_VIT,
    name="timm-vit-after-norm",
    layer=("ResPostBlock",),
    block=after_norm(TIMM_BLOCK, "norm1", "norm2"),
    example=("timm/vit_base_patch16_rpn_224.sw_in1k",),
)
