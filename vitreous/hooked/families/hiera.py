"""Hiera: stages of growing width, attention in mask units, and queries pooled by maximum where a stage begins.

Positions are ordered from pool to pool, so that each pool reads contiguous groups (`model.token_map(size, layer=i)`
knows where they are). Attention in mask units is shown as `[b*units, ...]`, queries before they are pooled. The first
block of a wider stage adds to `hook_resid_proj` (the pooled projection of what `ln1` puts out) instead of what entered
it. Per-head inputs (`hook_attn_in`, ...) do not exist: the residual of such a block reads the norm, too.
"""

from vitreous.hooked.families.vit import CLASSIFIER
from vitreous.hooked.family import PRE_LN, Entry, Family
from vitreous.hooked.site import (
    Attention,
    In,
    MlpIn,
    Norm,
    Out,
    Parameter,
    ResidMid,
    ResidPost,
    ResidPre,
    Viewed,
)

HIERA = Family(
    name="hiera",
    kind="vision",
    classes={
        "HieraModel": Entry(drop={"pooler.": {"add_pooling_layer": False}}),
        "HieraForImageClassification": Entry("hiera", head=CLASSIFIER),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embeddings"),
        "hook_pos_embed": Parameter("embeddings", "position_embeddings"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.stages.*.layers",
    block={
        "hook_resid_pre": ResidPre(),
        "ln1": Norm("layernorm_before"),
        "hook_resid_proj": Viewed("proj", "hiera pool", optional=True),
        "attn": Attention("attn", out="proj", qkv=("qkv",), route="softmax", view="hiera windows"),
        "hook_attn_out": Out("attn"),
        "hook_resid_mid": ResidMid("layernorm_after"),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm("layernorm_after"),
        "mlp.hook_pre": Out("mlp.fc1"),
        "mlp.hook_post": In("mlp.fc2"),
        "hook_mlp_out": Out("mlp"),
        "hook_resid_post": ResidPost(),
    },
    sums=(("hook_resid_proj", "hook_attn_out", "hook_resid_mid"), *PRE_LN),
    head={
        "ln_final": Norm("pooler.layernorm", also="hook_ln_final", optional=True),
        "pool.hook_out": Out("pooler", optional=True),
    },
    shrink=2,
    unroll="query_stride",
    sizes={"d_model": "embed_dim", "patch_size": "patch_stride"},
    processor="BitImageProcessorPil",
    example=("facebook/hiera-base-224-hf",),
)
