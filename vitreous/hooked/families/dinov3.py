"""DINOv3: rotary positions, registers, LayerScale as modules, MLP plain or gated."""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out

DINOV3 = Family(
    name="dinov3",
    kind="vision",
    classes={"DINOv3ViTModel": Entry()},
    embed={
        "hook_embed": Out("embeddings.patch_embeddings", layout="b d h w"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="model.layer|layer",
    block=pre_ln(
        ln1="norm1",
        attn="attention",
        out="o_proj",
        attn_out="layer_scale1",
        ln2="norm2",
        pre="mlp.gate_proj|mlp.up_proj",
        pre_linear="mlp.up_proj",
        gate="mlp.gate_proj",
        post="mlp.down_proj",
        mlp_out="layer_scale2",
    ),
    head={"ln_final": Norm("norm", also="hook_ln_final")},
    special=("cls", "register*num_register_tokens"),
    interpolate="always",
    rotary=True,
    processor="BitImageProcessorPil",
    example=("facebook/dinov3-vitb16-pretrain-lvd1689m",),
)
