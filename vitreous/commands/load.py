"""Models, data and coders by name, as the commands take them."""

import argparse
from pathlib import Path
from typing import Any

from vitreous.errors import BadInputError, UnsupportedError


def hooked(name: str, kinds: tuple[str, ...] = (), revision: str | None = None) -> Any:
    """The widest wrapper that fits a model: a vision-language model, else both towers of a dual encoder, else one.

    Args:
        name: embedded name, local folder, hub id or architecture of timm or open_clip.
        kinds: demand these towers, e.g. ("vision",); of a vision-language model that is the vision tower alone.
        revision: branch, tag or commit on the hub.

    Raises:
        UnsupportedError: no family knows the architecture.
        NetworkError: it must be downloaded and the hub cannot be reached.
    """
    from vitreous.hooked import HookedCLIP, HookedTextEncoder, HookedViT, HookedVLM
    from vitreous.hooked.loading import class_name, family_of, locate, read_config, supported, vlm_of

    source = locate(name, revision)
    if source.library != "transformers":
        both = source.library == "open_clip"
        if "text" in kinds and not both:
            raise UnsupportedError(f"{name} is a model of timm, which has no text tower")
        return (HookedCLIP if both else HookedViT).from_pretrained(name, revision=revision)
    native = class_name(read_config(source), source)
    if vlm_of(native) is not None and kinds in ((), ("vision",)):
        return vision(name, revision) if kinds else HookedVLM.from_pretrained(name, revision=revision)
    towers = {kind for kind in ("vision", "text") if family_of(native, kind)}
    if not towers or not towers.issuperset(kinds):
        wanted = " and ".join(kinds) or "any"
        known = sorted({c for kind in (kinds or ("vision", "text", "vlm")) for c in supported(kind)})
        raise UnsupportedError(f"{name} is a {native}, which has no {wanted} tower that vitreous knows; known: {known}")
    wrapper = HookedCLIP if len(towers) == 2 else HookedViT if "vision" in towers else HookedTextEncoder
    return wrapper.from_pretrained(name, revision=revision)


def vision(name: str, revision: str | None = None) -> Any:
    """The vision encoder of a model."""
    from vitreous.hooked import HookedViT, HookedVLM
    from vitreous.hooked.loading import class_name, locate, read_config, vlm_of

    source = locate(name, revision)
    if vlm_of(class_name(read_config(source), source)) is None:
        return HookedViT.from_pretrained(name, revision=revision)
    tower = HookedVLM.from_pretrained(name, revision=revision).vision
    tower.name = source.name  # what a coder that is trained on it will be told to load
    return tower


def coder(folder: str) -> Any:
    """A sparse coder from its folder, or from the folder of a run that trained exactly one."""
    from vitreous.sae import SparseCoder

    path = Path(folder)
    if not (path / "config.json").exists() and path.is_dir():
        inside = sorted(p.parent for p in path.glob("*/coder.safetensors"))
        if len(inside) == 1:
            path = inside[0]
        elif inside:
            raise BadInputError(f"{folder} holds several coders: {', '.join(str(p) for p in inside)}; choose one")
    return SparseCoder.load(path)


def model_of(coder: Any, given: str | None) -> str:
    """The model to run a coder on: the one asked for, or the one that it was trained on."""
    name = given or coder.meta.get("model")
    if not name:
        raise BadInputError("the coder does not say which model it belongs to; pass --model")
    return name


def positive(text: str) -> int:
    """Argument type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive integer")
    return value
