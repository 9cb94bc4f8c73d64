"""Idefics 3 and SmolVLM: a SigLIP for any aspect ratio, patches shuffled into fewer, wider ones, one linear map."""

from vitreous.hooked.families.clip import CLIP_BLOCK
from vitreous.hooked.family import Entry, Family, VLMFamily
from vitreous.hooked.site import In, Norm, Out

IDEFICS_VISION = Family(
    name="idefics-vision",
    kind="vision",
    classes={"Idefics3VisionTransformer": Entry(), "SmolVLMVisionTransformer": Entry()},
    embed={
        "hook_embed": Out("embeddings.patch_embedding", layout="b d h w"),
        "hook_pos_embed": Out("embeddings.position_embedding"),
        "hook_full_embed": Out("embeddings"),
    },
    layers="encoder.layers",
    block=CLIP_BLOCK,
    head={"ln_final": Norm("post_layernorm", also="hook_ln_final")},
    interpolate="always",
    processor="SiglipImageProcessorPil",
)

IDEFICS3_CONNECTOR = Family(
    name="idefics3-connector",
    kind="connector",
    classes={"Idefics3Connector": Entry(), "SmolVLMConnector": Entry()},
    embed={"hook_in": In("", copy=True), "hook_shuffled": In("modality_projection"), "hook_out": Out("")},
    layers="",
    block={},
)

IDEFICS3 = VLMFamily(
    name="idefics3",
    classes=("Idefics3ForConditionalGeneration", "SmolVLMForConditionalGeneration"),
    vision="model.vision_model",
    connector="model.connector",
    language="model.text_model",
    layout="split",
    example=("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-256M-Instruct"),
)
