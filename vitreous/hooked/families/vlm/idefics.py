"""Idefics and SmolVLM: a SigLIP for any aspect ratio; patches shuffled into fewer, wider ones, or resampled."""

from dataclasses import replace

from vitreous.hooked.families.clip import CLIP_BLOCK
from vitreous.hooked.family import Entry, Family, VLMFamily, pre_ln
from vitreous.hooked.site import In, Norm, Out

IDEFICS_VISION = Family(
    name="idefics-vision",
    kind="vision",
    classes={
        "Idefics2VisionTransformer": Entry(),
        "Idefics3VisionTransformer": Entry(),
        "SmolVLMVisionTransformer": Entry(),
    },
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

_RESAMPLER = pre_ln(
    ln1="input_latents_norm",
    attn="self_attn",
    out="o_proj",
    ln2="post_attention_layernorm",
    pre="mlp.gate_proj",
    pre_linear="mlp.up_proj",
    post="mlp.down_proj",
    mlp_out="mlp",
)
_MLP, _OUT = "/model.connector.modality_projection", "/model.connector"
IDEFICS2_CONNECTOR = Family(
    name="idefics2-connector",
    kind="connector",
    classes={"Idefics2Connector": Entry("perceiver_resampler")},
    embed={
        "hook_in": In(_OUT, copy=True),
        "mlp.hook_pre": Out(f"{_MLP}.gate_proj"),
        "mlp.hook_pre_linear": Out(f"{_MLP}.up_proj"),
        "mlp.hook_post": In(f"{_MLP}.down_proj"),
        "hook_embed": Out(_MLP),
    },
    layers="layers",
    block={
        "hook_resid_pre": _RESAMPLER["hook_resid_pre"],
        "ln1": _RESAMPLER["ln1"],
        "ln_context": Norm("input_context_norm"),
        **{key: site for key, site in _RESAMPLER.items() if key},
    },
    head={"ln_final": Norm("norm", also="hook_ln_final"), "hook_out": Out(_OUT)},
)
"""A perceiver resampler: learnt latents are the stream; they attend to the projected patches and to themselves.

`hook_q` is of the latents, `hook_k` and `hook_v` are of the patches (normed anew in each layer, `ln_context`) and then
the latents. Per-head inputs (`hook_q_input`, ...) do not exist: two norms are read at once.
"""

IDEFICS3 = VLMFamily(
    name="idefics3",
    classes=("Idefics3ForConditionalGeneration", "SmolVLMForConditionalGeneration"),
    vision="model.vision_model",
    connector="model.connector",
    language="model.text_model",
    layout="split",
    example=("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-256M-Instruct"),
)
IDEFICS2 = replace(
    IDEFICS3,
    name="idefics2",
    classes=("Idefics2ForConditionalGeneration",),
    layout="resampled",
    example=("HuggingFaceM4/idefics2-8b",),
)
