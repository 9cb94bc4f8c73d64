"""SAM's image encoder: a grid of positions (shown as a sequence), attention in windows and, in some layers, global.

Windowed attention is shown as `[b*windows, ...]`, heads add up to `attn.hook_out` there, padding included;
`hook_attn_out` is what comes back into the stream. Scores have the decomposed relative positions in them. Per-head
inputs (`hook_attn_in`, ...) do not exist: between the norm and the projections the layer cuts windows. The neck norms
over channels of a `[b, c, rows, columns]` map: its points are shown as sequences, without `hook_scale`.
"""

from vitreous.hooked.family import Entry, Family
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

SAM = Family(
    name="sam",
    kind="vision",
    classes={
        "SamModel": Entry("vision_encoder", call="vision_encoder"),
        "SamVisionModel": Entry("vision_encoder"),
    },
    embed={"hook_embed": Out("patch_embed"), "hook_pos_embed": Parameter("", "pos_embed")},
    layers="layers",
    block={
        "hook_resid_pre": ResidPre(),
        "ln1": Norm("layer_norm1"),
        "attn": Attention("attn", out="proj", qkv=("qkv",), route="softmax", total="attn.hook_out"),
        "attn.hook_out": Out("attn.proj"),
        "hook_attn_out": Viewed("attn", "sam windows"),
        "hook_resid_mid": ResidMid("layer_norm2"),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm("layer_norm2"),
        "mlp.hook_pre": Out("mlp.lin1"),
        "mlp.hook_post": In("mlp.lin2"),
        "hook_mlp_out": Out("mlp"),
        "hook_resid_post": ResidPost(),
    },
    head={
        "neck.hook_pre": Out("neck.conv1", layout="b d h w"),
        "neck.hook_normalized": Out("neck.layer_norm1", layout="b d h w"),
        "neck.hook_post": Out("neck.conv2", layout="b d h w"),
        "neck.hook_out": Out("neck", layout="b d h w"),
    },
    grid=True,
    interpolate="never",
    processor="SamImageProcessorPil",
    example=("facebook/sam-vit-base",),
)
