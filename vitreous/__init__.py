"""Mechanistic interpretability of Vision Transformers and vision-language models.

The names below load on first use, so that ``import vitreous`` itself is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vitreous.hooked import HookedCLIP, HookedTextEncoder, HookedViT, HookedVLM
    from vitreous.sae import SparseCoder

_WHERE = {
    "HookedViT": "vitreous.hooked",
    "HookedTextEncoder": "vitreous.hooked",
    "HookedCLIP": "vitreous.hooked",
    "HookedVLM": "vitreous.hooked",
    "SparseCoder": "vitreous.sae",
}

__all__ = ["HookedCLIP", "HookedTextEncoder", "HookedVLM", "HookedViT", "SparseCoder", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'vitreous' has no attribute {name!r}")
