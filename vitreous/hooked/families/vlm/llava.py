"""LLaVA 1.5: patches of an inner layer of CLIP, a two-layer projector, LLaMA."""

from vitreous.hooked.family import Entry, Family, VLMFamily
from vitreous.hooked.site import In, Out

LLAVA_PROJECTOR = Family(
    name="llava-projector",
    kind="connector",
    classes={"LlavaMultiModalProjector": Entry()},
    embed={
        "hook_in": In(""),
        "mlp.hook_pre": Out("linear_1"),
        "mlp.hook_post": In("linear_2"),
        "hook_out": Out(""),
    },
    layers="",
    block={},
)

LLAVA = VLMFamily(
    name="llava",
    classes=("LlavaForConditionalGeneration",),
    feature_layer="vision_feature_layer",
    layout="llava",
    example=("llava-hf/llava-1.5-7b-hf", "vitreous/scenes-vlm"),
)
