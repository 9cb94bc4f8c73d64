"""Swin and Swin v2: stages of growing width, attention in shifted windows, and patch merging between the stages.

Blocks are numbered through all stages. Attention is shown in windows, `[b*windows, ...]`; heads add up to
`attn.hook_out` there, and `hook_attn_out` is what comes back into the stream's layout. A stage ends with the points
`stages.{s}.merge.*`, whose output (`hook_out`) is where the next block starts; the last stage has none. Per-head
inputs (`hook_attn_in`, ...) do not exist: between the norm and the projections the layer cuts windows.
"""

from vitreous.hooked.families.vit import CLASSIFIER
from vitreous.hooked.family import Entry, Family
from vitreous.hooked.site import Attention, In, MlpIn, Norm, Out, Parameter, ResidMid, ResidPost, ResidPre, Site

_HEAD: dict[str, Site] = {
    "ln_final": Norm("layernorm", also="hook_ln_final"),
    "pool.hook_out": Out("pooler", optional=True),
}
_EMBED: dict[str, Site] = {
    "hook_embed": Out("embeddings.patch_embeddings"),
    "ln_embed": Norm("embeddings.norm"),
    "hook_pos_embed": Parameter("embeddings", "position_embeddings"),
    "hook_full_embed": Out("embeddings"),
}
_SIZES = {"d_model": "embed_dim"}

SWIN = Family(
    name="swin",
    kind="vision",
    classes={
        "SwinModel": Entry(drop={"pooler.": {"add_pooling_layer": False}}),
        "SwinForImageClassification": Entry("swin", head=CLASSIFIER),
    },
    embed=_EMBED,
    layers="encoder.layers.*.blocks",
    block={
        "hook_resid_pre": ResidPre(),
        "ln1": Norm("layernorm_before"),
        "attn": Attention("attention", out="o_proj", total="attn.hook_out"),
        "attn.hook_out": Out("attention.o_proj"),
        "hook_attn_out": Out("drop_path", identity=True),
        "hook_resid_mid": ResidMid("layernorm_after"),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm("layernorm_after"),
        "mlp.hook_pre": Out("mlp.fc1"),
        "mlp.hook_post": In("mlp.fc2"),
        "hook_mlp_out": Out("mlp"),
        "hook_resid_post": ResidPost(),
    },
    stage={
        "merge.ln": Norm("downsample.norm", optional=True),
        "merge.hook_out": Out("downsample", optional=True),
    },
    head=_HEAD,
    shrink=2,
    sizes=_SIZES,
    example=("microsoft/swin-tiny-patch4-window7-224",),
)

SWINV2 = Family(
    name="swinv2",
    kind="vision",
    classes={
        "Swinv2Model": Entry(drop={"pooler.": {"add_pooling_layer": False}}),
        "Swinv2ForImageClassification": Entry("swinv2", head=CLASSIFIER),
    },
    embed=_EMBED,
    layers="encoder.layers.*.blocks",
    block={
        "hook_resid_pre": ResidPre(),
        "attn": Attention(
            "attention.self",
            out="/attention.output.dense",
            qkv=("query", "key", "value"),
            route="softmax",
            total="attn.hook_out",
        ),
        "attn.hook_out": Out("attention.output.dense"),
        "ln1_post": Norm("layernorm_before"),
        "hook_attn_out": Out("drop_path", identity=True, nth=1),
        "hook_resid_mid": ResidMid("intermediate"),
        "hook_mlp_in": MlpIn(),
        "mlp.hook_pre": Out("intermediate.dense"),
        "mlp.hook_post": In("output.dense"),
        "ln2_post": Norm("layernorm_after"),
        "hook_mlp_out": Out("drop_path", identity=True, nth=2),
        "hook_resid_post": ResidPost(),
    },
    stage={
        "merge.hook_reduced": Out("downsample.reduction", optional=True),
        "merge.ln": Norm("downsample.norm", optional=True),
        "merge.hook_out": Out("downsample", optional=True),
    },
    head=_HEAD,
    shrink=2,
    sizes=_SIZES,
    example=("microsoft/swinv2-tiny-patch4-window8-256",),
)
"""Swin v2 norms what its sublayers put out (`ln1_post`, `ln2_post`) rather than what they read.

Its scores are scaled cosines: `hook_q` and `hook_k` are shown before they are normalised.
"""
