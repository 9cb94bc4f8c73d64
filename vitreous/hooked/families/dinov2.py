"""DINOv2, without and with registers: LayerScale as modules, MLP or SwiGLU, positions always resized to the image."""

from vitreous.hooked.families.vit import CLASSIFIER
from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out, Parameter

DINO_BLOCK = pre_ln(
    ln1="norm1",
    attn="attention",
    out="o_proj",
    attn_out="layer_scale1",
    ln2="norm2",
    pre="mlp.fc1|mlp.gate_proj",
    pre_linear="mlp.up_proj",
    post="mlp.fc2|mlp.down_proj",
    mlp_out="layer_scale2",
)
DINO_EMBED = {
    "hook_embed": Out("embeddings.patch_embeddings"),
    "hook_pos_embed": Parameter("embeddings", "position_embeddings", always=True),
    "hook_full_embed": Out("embeddings"),
}

DINOV2 = Family(
    name="dinov2",
    kind="vision",
    classes={
        "Dinov2Model": Entry(),
        "Dinov2ForImageClassification": Entry("dinov2", head=CLASSIFIER),
    },
    embed=DINO_EMBED,
    layers="encoder.layer",
    block=DINO_BLOCK,
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    special=("cls",),
    interpolate="always",
    processor="BitImageProcessorPil",
    example=("facebook/dinov2-base", "facebook/dinov2-giant"),
)

DINOV2_REGISTERS = Family(
    name="dinov2-registers",
    kind="vision",
    classes={
        "Dinov2WithRegistersModel": Entry(),
        "Dinov2WithRegistersForImageClassification": Entry("dinov2_with_registers", head=CLASSIFIER),
    },
    embed=DINO_EMBED,
    layers="encoder.layer",
    block=DINO_BLOCK,
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    special=("cls", "register*num_register_tokens"),
    interpolate="always",
    processor="BitImageProcessorPil",
    example=("facebook/dinov2-with-registers-base",),
)
