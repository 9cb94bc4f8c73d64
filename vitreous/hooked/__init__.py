"""What happens inside a model: hook points on native vision and text encoders, without converting them."""

from vitreous.hooked.cache import ActivationCache
from vitreous.hooked.clip import HookedCLIP
from vitreous.hooked.families import FAMILIES, VLM_FAMILIES
from vitreous.hooked.family import Entry, Family
from vitreous.hooked.fusion import HookedFusion
from vitreous.hooked.text import HookedTextEncoder
from vitreous.hooked.token_map import TokenMap
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.vlm import HookedVLM

__all__ = [
    "FAMILIES",
    "VLM_FAMILIES",
    "ActivationCache",
    "Entry",
    "Family",
    "HookedCLIP",
    "HookedFusion",
    "HookedTextEncoder",
    "HookedVLM",
    "HookedViT",
    "TokenMap",
]
