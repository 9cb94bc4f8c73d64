"""Video: V-JEPA 2, VideoMAE, ViViT and TimeSformer, whose patches are tubelets (or patches of single frames).

Clips are `[b, frames, c, rows, columns]`. None takes another image size: positions are learnt or counted for one.
VideoMAE has no `hook_pos_embed`: the native forward detaches its fixed table, and no gradient would reach the point.
"""

from vitreous.hooked.families.clip import CLIP_BLOCK
from vitreous.hooked.families.vit import CLASSIFIER, NO_POOLER, POOLER, VIT_BLOCK, VIT_EMBED, legacy_block
from vitreous.hooked.family import PRE_LN, Entry, Family, Stack, pre_ln
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

_JEPA_BLOCK = pre_ln(
    ln1="norm1",
    attn="attention",
    out="proj",
    qkv=("query", "key", "value"),
    ln2="norm2",
    pre="mlp.fc1",
    post="mlp.fc2",
    mlp_out="mlp",
)
_PREDICTOR = Stack(
    name="predictor",
    base="predictor",
    layers="layer",
    block=_JEPA_BLOCK,
    embed={"hook_embed": Out("embeddings.predictor_embeddings"), "hook_full_embed": Out("embeddings")},
    head={"ln_final": Norm("layernorm"), "hook_out": Out("proj")},
)
"""V-JEPA 2's predictor: context and target positions together, sorted by position."""
_POOLER_LAYERS = Stack(name="pool", base="pooler", layers="self_attention_layers", block=CLIP_BLOCK)
_POOLER = Stack(
    name="pool",
    base="pooler",
    layers="cross_attention_layer",
    block={
        "hook_resid_pre": ResidPre(),
        "ln1": Norm("layer_norm1"),
        "attn": Attention("cross_attn"),
        "hook_attn_out": Out("cross_attn"),
        "hook_resid_mid": ResidMid("layer_norm2"),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm("layer_norm2"),
        "mlp.hook_pre": Out("mlp.fc1"),
        "mlp.hook_post": In("mlp.fc2"),
        "hook_mlp_out": Out("mlp"),
        "hook_resid_post": ResidPost(),
    },
)
"""V-JEPA 2's attentive pooler: one learnt query (`pool.hook_resid_pre`) reads all positions, which `pool.ln1` norms.

Its attention has no output projection, so there is no `pool.attn.hook_result`.
"""

VJEPA2 = Family(
    name="vjepa2",
    kind="vision",
    classes={
        "VJEPA2Model": Entry("encoder", stacks=(_PREDICTOR,)),
        "VJEPA2ForVideoClassification": Entry("vjepa2.encoder", stacks=(_POOLER_LAYERS, _POOLER), head=CLASSIFIER),
    },
    embed={"hook_embed": Out("embeddings.patch_embeddings"), "hook_full_embed": Out("embeddings")},
    layers="layer",
    block=_JEPA_BLOCK,
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    interpolate="never",
    rotary=True,
    frames="frames_per_clip",
    argument="pixel_values_videos",
    sizes={"image_size": "crop_size"},
    processor="VideoMAEImageProcessorPil",
    example=("facebook/vjepa2-vitl-fpc64-256",),
)

VIDEOMAE = Family(
    name="videomae",
    kind="vision",
    classes={
        "VideoMAEModel": Entry(),
        "VideoMAEForVideoClassification": Entry("videomae", head=CLASSIFIER),
    },
    embed={"hook_embed": Out("embeddings.patch_embeddings"), "hook_full_embed": Out("embeddings")},
    layers="encoder.layer",
    block=legacy_block(),
    head={"ln_final": Norm("layernorm|/fc_norm", also="hook_ln_final", optional=True)},
    interpolate="never",
    frames="num_frames",
    processor="VideoMAEImageProcessorPil",
    example=("MCG-NJU/videomae-base",),
)

VIVIT = Family(
    name="vivit",
    kind="vision",
    classes={
        "VivitModel": Entry(head=POOLER, drop=NO_POOLER),
        "VivitForVideoClassification": Entry("vivit", head=CLASSIFIER),
    },
    embed=VIT_EMBED,
    layers="layers",
    block=VIT_BLOCK,
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    special=("cls",),
    interpolate="never",
    frames="num_frames",
    sizes={"patch_size": "tubelet_size"},
    processor="VideoMAEImageProcessorPil",
    example=("google/vivit-b-16x2-kinetics400",),
)

TIMESFORMER = Family(
    name="timesformer",
    kind="vision",
    classes={
        "TimesformerModel": Entry(),
        "TimesformerForVideoClassification": Entry("timesformer", head=CLASSIFIER),
    },
    embed={
        "hook_embed": Out("embeddings.patch_embeddings"),
        "hook_pos_embed": Parameter("embeddings", "position_embeddings"),
        "hook_time_embed": Parameter("embeddings", "time_embeddings"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.layer",
    block={
        "hook_resid_pre": ResidPre(),
        "ln_temporal": Norm("temporal_layernorm"),
        "temporal_attn": Attention(
            "temporal_attention.attention",
            out="/temporal_attention.output.dense",
            qkv=("qkv",),
            route="softmax",
            total="temporal_attn.hook_out",
        ),
        "temporal_attn.hook_out": Out("temporal_attention.output.dense"),
        "hook_temporal_attn_out": Viewed("temporal_dense", "without cls"),
        "hook_resid_temporal": ResidMid("layernorm_before", view="frames"),
        "ln1": Norm("layernorm_before"),
        "attn": Attention(
            "attention.attention",
            out="/attention.output.dense",
            qkv=("qkv",),
            route="softmax",
            total="attn.hook_out",
        ),
        "attn.hook_out": Out("attention.output.dense"),
        "hook_attn_out": Viewed("attention", "mean over frames"),
        "hook_resid_mid": ResidMid("layernorm_after"),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm("layernorm_after"),
        "mlp.hook_pre": Out("intermediate.dense"),
        "mlp.hook_post": In("output.dense"),
        "hook_mlp_out": Out("output"),
        "hook_resid_post": ResidPost(),
    },
    sums=(
        ("hook_resid_pre", "hook_temporal_attn_out", "hook_resid_temporal"),
        ("hook_resid_temporal", "hook_attn_out", "hook_resid_mid"),
        PRE_LN[1],
    ),
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    special=("cls",),
    interpolate="never",
    frames="num_frames",
    time_last=True,
    processor="VideoMAEImageProcessorPil",
    example=("facebook/timesformer-base-finetuned-k400",),
)
"""Divided attention: first over time (`temporal_attn`, `[b*patches, ...]`), then space (`attn`, `[b*frames, ...]`).

The norms before them (`ln_temporal`, `ln1`) read those layouts, too. What is added to the stream has the stream's:
`hook_temporal_attn_out` (nothing for CLS, and after a second projection, so heads add up to `temporal_attn.hook_out`)
and `hook_attn_out` (for CLS the mean over frames).
"""
