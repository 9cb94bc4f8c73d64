"""InternViT, the tower of InternVL: BEiT with LayerScale as raw parameters, and q and k normed in some sizes."""

from dataclasses import replace

from vitreous.hooked.families.beit import BEIT
from vitreous.hooked.family import Entry, pre_ln
from vitreous.hooked.site import Norm, Scaled

INTERNVL_VISION = replace(
    BEIT,
    name="internvl-vision",
    classes={"InternVLVisionModel": Entry()},
    layers="encoder.layer",
    block=pre_ln(
        ln1="layernorm_before",
        attn="attention",
        out="projection_layer",
        attn_out=Scaled("attention", "lambda_1"),
        ln2="layernorm_after",
        pre="mlp.fc1",
        post="mlp.fc2",
        mlp_out=Scaled("mlp", "lambda_2"),
    ),
    head={"ln_final": Norm("layernorm", also="hook_ln_final", optional=True)},
    rotary=True,
    processor="GotOcr2ImageProcessorPil",
    example=(),
)
