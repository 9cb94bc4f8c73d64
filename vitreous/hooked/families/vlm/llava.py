"""LLaVA and its kin: hidden states of a vision tower, a two-layer projector, a language model.

Which hidden states are read is a matter of the config: later layers, the final norm and a pooling head run for nothing.
"""

from dataclasses import replace

from vitreous.hooked.family import Entry, Family, VLMFamily
from vitreous.hooked.site import In, Norm, Out, Site

MLP: dict[str, Site] = {
    "mlp.hook_pre": Out("linear_1"),
    "mlp.hook_post": In("linear_2"),
    "hook_out": Out(""),
}

LLAVA_PROJECTOR = Family(
    name="llava-projector",
    kind="connector",
    classes={
        "LlavaMultiModalProjector": Entry(),
        "LlavaNextMultiModalProjector": Entry(),
        "LlavaOnevisionMultiModalProjector": Entry(),
    },
    embed={"hook_in": In("", copy=True), **MLP},
    layers="",
    block={},
)
NORMED_PROJECTOR = replace(
    LLAVA_PROJECTOR,
    name="normed-projector",
    classes={"InternVLMultiModalProjector": Entry(), "AyaVisionMultiModalProjector": Entry()},
    embed={"hook_in": In("", copy=True), "ln": Norm("layer_norm|layernorm"), **MLP},
)
"""Patches are shuffled into fewer, wider ones (before the projector, or in it), and normed. Aya's MLP is gated."""

MISTRAL3_PROJECTOR = replace(
    LLAVA_PROJECTOR,
    name="mistral3-projector",
    classes={"Mistral3MultiModalProjector": Entry()},
    embed={"hook_in": In("", copy=True), "ln": Norm("norm"), "hook_merged": Out("patch_merger"), **MLP},
    packed=True,
)

LLAVA = VLMFamily(
    name="llava",
    classes=("LlavaForConditionalGeneration",),
    feature_layer="vision_feature_layer",
    layout="llava",
    example=("llava-hf/llava-1.5-7b-hf", "mistral-community/pixtral-12b", "vitreous/scenes-vlm"),
)
LLAVA_NEXT = replace(
    LLAVA,
    name="llava-next",
    classes=("LlavaNextForConditionalGeneration",),
    layout="mosaic",
    example=("llava-hf/llava-v1.6-mistral-7b-hf",),
)
LLAVA_ONEVISION = replace(
    LLAVA,
    name="llava-onevision",
    classes=("LlavaOnevisionForConditionalGeneration",),
    layout="shrunk-mosaic",
    example=("llava-hf/llava-onevision-qwen2-0.5b-ov-hf",),
)
AYA = replace(
    LLAVA,
    name="aya",
    classes=("AyaVisionForConditionalGeneration",),
    layout="pixel-shuffled",
    example=("CohereLabs/aya-vision-8b",),
)
MISTRAL3 = replace(
    LLAVA,
    name="mistral3",
    classes=("Mistral3ForConditionalGeneration",),
    layout="rows",
    example=("mistralai/Mistral-Small-3.1-24B-Instruct-2503",),
)
INTERNVL = VLMFamily(
    name="internvl",
    classes=("InternVLForConditionalGeneration",),
    layout="pixel-shuffled",
    example=("OpenGVLab/InternVL3-1B-hf",),
)
