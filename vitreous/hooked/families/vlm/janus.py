"""Janus, where it understands images: a SigLIP-like tower, an aligner, LLaMA. Images that it draws are not hooked."""

from dataclasses import replace

from vitreous.hooked.families.siglip import SIGLIP_VISION
from vitreous.hooked.family import Entry, Family, VLMFamily, pre_ln
from vitreous.hooked.site import In, Norm, Out

JANUS_VISION = replace(
    SIGLIP_VISION,
    name="janus-vision",
    classes={"JanusVisionModel": Entry()},
    block=pre_ln(
        ln1="layer_norm1",
        attn="self_attn",
        out="projection_layer",
        ln2="layer_norm2",
        pre="mlp.fc1",
        post="mlp.fc2",
        mlp_out="mlp",
    ),
    head={
        "ln_final": Norm("post_layernorm", also="hook_ln_final", nth=1),
        "pool.ln": Norm("post_layernorm", also="pool.hook_out", nth=2),
    },
    rotary=True,
    processor="JanusImageProcessorPil",
    example=("deepseek-community/Janus-Pro-1B",),
)
"""Queries and keys are normed in some sizes. The final norm runs once more on the first patch, which nobody reads."""

JANUS_ALIGNER = Family(
    name="janus-aligner",
    kind="connector",
    classes={"JanusVisionAlignerMLP": Entry()},
    embed={
        "hook_in": In(""),
        "mlp.hook_pre": Out("fc1"),
        "mlp.hook_post": In("hidden_layers.0"),
        "hook_out": Out(""),
    },
    layers="",
    block={},
)

JANUS = VLMFamily(
    name="janus",
    classes=("JanusForConditionalGeneration",),
    layout="letterbox",
    vision="model.vision_model",
    connector="model.aligner",
    inert=("vision.pool.*",),
    example=("deepseek-community/Janus-Pro-1B",),
)
