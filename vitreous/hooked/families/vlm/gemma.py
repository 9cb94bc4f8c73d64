"""PaliGemma and Gemma 3: SigLIP's output through one linear map. SigLIP's pooling head runs, and nobody reads it."""

from dataclasses import replace

from vitreous.hooked.family import Entry, Family, VLMFamily
from vitreous.hooked.site import In, Norm, Out

PALIGEMMA_PROJECTOR = Family(
    name="paligemma-projector",
    kind="connector",
    classes={"PaliGemmaMultiModalProjector": Entry()},
    embed={"hook_in": In("", copy=True), "hook_out": Out("")},
    layers="",
    block={},
)
GEMMA3_PROJECTOR = replace(
    PALIGEMMA_PROJECTOR,
    name="gemma3-projector",
    classes={"Gemma3MultiModalProjector": Entry()},
    embed={
        "hook_in": In("", copy=True),
        "hook_pooled": Out("avg_pool", layout="b d h w"),
        "ln": Norm("mm_soft_emb_norm"),
        "hook_out": Out(""),
    },
)
"""Patches are averaged over squares, normed and projected."""

PALIGEMMA = VLMFamily(
    name="paligemma",
    classes=("PaliGemmaForConditionalGeneration",),
    softcap="final_logit_softcapping",
    layout="grid",
    inert=("vision.pool.*",),
    example=("google/paligemma-3b-pt-224", "google/paligemma2-3b-pt-224"),
)
GEMMA3 = VLMFamily(
    name="gemma3",
    classes=("Gemma3ForConditionalGeneration",),
    layout="pooled",
    inert=("vision.pool.*",),
    example=("google/gemma-3-4b-it",),
)
