"""Every vision-language family, written out, and the connectors between their towers."""

from vitreous.hooked.families.vlm.gemma import GEMMA3, GEMMA3_PROJECTOR, PALIGEMMA, PALIGEMMA_PROJECTOR
from vitreous.hooked.families.vlm.idefics import IDEFICS2, IDEFICS2_CONNECTOR, IDEFICS3, IDEFICS3_CONNECTOR
from vitreous.hooked.families.vlm.llava import (
    AYA,
    INTERNVL,
    LLAVA,
    LLAVA_NEXT,
    LLAVA_ONEVISION,
    LLAVA_PROJECTOR,
    MISTRAL3,
    MISTRAL3_PROJECTOR,
    NORMED_PROJECTOR,
)
from vitreous.hooked.families.vlm.qwen import QWEN2_MERGER, QWEN3_MERGER, QWEN_VL
from vitreous.hooked.family import Family, VLMFamily

CONNECTORS: tuple[Family, ...] = (
    LLAVA_PROJECTOR,
    NORMED_PROJECTOR,
    MISTRAL3_PROJECTOR,
    PALIGEMMA_PROJECTOR,
    GEMMA3_PROJECTOR,
    IDEFICS3_CONNECTOR,
    IDEFICS2_CONNECTOR,
    QWEN2_MERGER,
    QWEN3_MERGER,
)

VLM_FAMILIES: tuple[VLMFamily, ...] = (
    LLAVA,
    LLAVA_NEXT,
    LLAVA_ONEVISION,
    AYA,
    MISTRAL3,
    INTERNVL,
    PALIGEMMA,
    GEMMA3,
    IDEFICS3,
    IDEFICS2,
    QWEN_VL,
)
