"""Every vision-language family, written out, and the connectors between their towers."""

from vitreous.hooked.families.vlm.llava import LLAVA, LLAVA_PROJECTOR
from vitreous.hooked.family import Family, VLMFamily

CONNECTORS: tuple[Family, ...] = (LLAVA_PROJECTOR,)

VLM_FAMILIES: tuple[VLMFamily, ...] = (LLAVA,)
