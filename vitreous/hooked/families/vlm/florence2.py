"""Florence-2: DaViT, a projector with positions, BART.

DaViT's stages are blocks of two parts, numbered one by one: attention between positions in windows (even numbers), then
attention between channels (odd ones), where keys and queries are channels, heads groups of them, and `d_head` is the
number of positions. Before each sublayer a depthwise convolution adds to the stream (`hook_conv1_out`,
`hook_conv2_out`). Streams are `[b, d, rows, columns]` and shown as sequences.
"""

from vitreous.hooked.families.bart import bart_encoder
from vitreous.hooked.family import Entry, Family, Table, VLMFamily
from vitreous.hooked.site import Attention, In, MlpIn, Norm, Out, ResidMid, ResidPost, ResidPre

_GRID = "channels first"


def _block(attn: Attention) -> Table:
    out = {} if attn.total == "hook_attn_out" else {attn.total: Out(f"{attn.path}.{attn.out}")}
    return {
        "hook_resid_pre": ResidPre(view=_GRID),
        "hook_conv1_out": Out("conv1", layout="b d h w"),
        "hook_resid_conv1": ResidMid("norm1"),
        "ln1": Norm("norm1"),
        "attn": attn,
        **out,
        "hook_attn_out": Out(attn.path),
        "hook_resid_mid": ResidMid("conv2", view=_GRID),
        "hook_conv2_out": Out("conv2", layout="b d h w"),
        "hook_resid_conv2": ResidMid("norm2"),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm("norm2"),
        "mlp.hook_pre": Out("ffn.fc1"),
        "mlp.hook_post": In("ffn.fc2"),
        "hook_mlp_out": Out("ffn"),
        "hook_resid_post": ResidPost(),
    }


DAVIT = Family(
    name="davit",
    kind="vision",
    classes={"Florence2VisionBackbone": Entry()},
    embed={"hook_embed": Out("convs.0", layout="b d h w")},
    layers="blocks.*.*",
    merges="convs",
    stage={"merge.ln": Norm("norm"), "merge.hook_out": Out("", layout="b d h w")},
    block=_block(Attention("window_attn", out="proj", qkv=("qkv",), total="attn.hook_out")),
    variants={
        "Florence2VisionChannelBlock": _block(
            Attention("channel_attn", out="proj", qkv=("qkv",), view="channel groups")
        )
    },
    sums=(
        ("hook_resid_pre", "hook_conv1_out", "hook_resid_conv1"),
        ("hook_resid_conv1", "hook_attn_out", "hook_resid_mid"),
        ("hook_resid_mid", "hook_conv2_out", "hook_resid_conv2"),
        ("hook_resid_conv2", "hook_mlp_out", "hook_resid_post"),
    ),
    interpolate="always",
    argument="hidden_states",
    shrink=2,
    sizes={"d_model": "embed_dim.0", "patch_size": "patch_stride.0"},
    processor="CLIPImageProcessorPil",
    example=("florence-community/Florence-2-base",),
)

FLORENCE2_PROJECTOR = Family(
    name="florence-2-projector",
    kind="connector",
    classes={"Florence2MultiModalProjector": Entry()},
    embed={
        "hook_in": In("", view=_GRID),
        "hook_pos_embed": Out("image_position_embed", layout="b d h w"),
        "hook_full_embed": In("image_projection"),
        "hook_post_proj": Out("image_projection"),
        "ln_post": Norm("image_proj_norm", also="hook_out"),
    },
    layers="",
    block={},
)
"""The mean of all positions comes first, then each of them."""

FLORENCE2 = VLMFamily(
    name="florence-2",
    classes=("Florence2ForConditionalGeneration",),
    language="model.language_model.decoder",
    stacks=(bart_encoder("model.language_model"),),
    layout="florence",
    example=("florence-community/Florence-2-base",),
)
"""`language.blocks.{i}` is the decoder, which predicts the next token; `language.encoder.blocks.{i}` runs before it."""
