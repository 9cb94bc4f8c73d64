"""timm's Eva (EVA, EVA-02, DINOv3, Perception Encoder) and Beit: rotary or relative positions, raw LayerScale."""

from dataclasses import replace

from vitreous.hooked.families.timm_vit import (
    CLASSIFIER,
    FINAL,
    MLP_ROWS,
    POOL,
    POOLED,
    SIZES,
    TIMM_VIT,
    TRUNK,
    after_norm,
)
from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out, Parameter

_BLOCK = pre_ln(
    ln1="norm1",
    attn="attn",
    out="proj",
    qkv=("qkv|q_proj", "qkv|k_proj", "qkv|v_proj"),
    attn_norm="attn.norm",
    attn_out=Out("drop_path1", identity=True, scale="gamma_1"),
    ln2="norm2",
    mlp_out=Out("drop_path2", identity=True),
    route="mode",
    **MLP_ROWS,
)

TIMM_EVA = replace(
    TIMM_VIT,
    name="timm-eva",
    classes={"timm.Eva": Entry(argument="x"), "open_clip.CLIP": TRUNK, "open_clip.CustomTextCLIP": TRUNK},
    layer=("EvaBlock",),
    block=_BLOCK,
    rotary=True,
    example=("timm/eva02_base_patch14_224.mim_in22k", "timm/vit_base_patch16_dinov3.lvd1689m"),
)

TIMM_EVA_AFTER_NORM = replace(
    TIMM_EVA,
    name="timm-eva-after-norm",
    layer=("EvaBlockPostNorm",),
    block=after_norm(_BLOCK, "norm1", "norm2"),
    example=("timm/eva02_enormous_patch14_clip_224.laion2b_s4b_b115k",),
)

TIMM_BEIT = Family(
    name="timm-beit",
    kind="vision",
    classes={"timm.Beit": Entry(argument="x")},
    embed={
        "hook_embed": Out("patch_embed.proj", layout="b d h w"),
        "ln_embed": Norm("patch_embed.norm", optional=True),
        "hook_pos_embed": Parameter("", "pos_embed"),
        "hook_full_embed": Out("pos_drop"),
    },
    layers="blocks",
    block=_BLOCK,
    head={**FINAL, **POOL, **POOLED, **CLASSIFIER},
    special=("cls",),
    interpolate="never",
    sizes=SIZES,
    example=("timm/beitv2_base_patch16_224.in1k_ft_in22k_in1k",),
)
