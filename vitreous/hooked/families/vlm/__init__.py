"""Every vision-language family, written out, and the connectors and towers that occur in these only."""

from vitreous.hooked.families.vlm.blip import BLIP, BLIP_DECODER
from vitreous.hooked.families.vlm.blip2 import (
    BLIP2,
    BLIP2_VISION,
    INSTRUCT_QFORMER,
    INSTRUCTBLIP,
    INSTRUCTBLIP_VISION,
    QFORMER,
)
from vitreous.hooked.families.vlm.florence2 import DAVIT, FLORENCE2, FLORENCE2_PROJECTOR
from vitreous.hooked.families.vlm.gemma import GEMMA3, GEMMA3_PROJECTOR, PALIGEMMA, PALIGEMMA_PROJECTOR
from vitreous.hooked.families.vlm.idefics import IDEFICS2, IDEFICS2_CONNECTOR, IDEFICS3, IDEFICS3_CONNECTOR
from vitreous.hooked.families.vlm.janus import JANUS, JANUS_ALIGNER, JANUS_VISION
from vitreous.hooked.families.vlm.kosmos2 import KOSMOS2, KOSMOS2_PROJECTION, KOSMOS2_TEXT, KOSMOS2_VISION
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
from vitreous.hooked.families.vlm.mllama import MLLAMA, MLLAMA_PROJECTOR, MLLAMA_TEXT, MLLAMA_VISION
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
    QFORMER,
    INSTRUCT_QFORMER,
    JANUS_ALIGNER,
    KOSMOS2_PROJECTION,
    MLLAMA_PROJECTOR,
    FLORENCE2_PROJECTOR,
)

TOWERS: tuple[Family, ...] = (
    BLIP_DECODER,
    BLIP2_VISION,
    INSTRUCTBLIP_VISION,
    JANUS_VISION,
    KOSMOS2_VISION,
    KOSMOS2_TEXT,
    MLLAMA_VISION,
    MLLAMA_TEXT,
    DAVIT,
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
    BLIP,
    BLIP2,
    INSTRUCTBLIP,
    JANUS,
    KOSMOS2,
    MLLAMA,
    FLORENCE2,
)
