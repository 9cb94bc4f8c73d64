"""Models of timm and open_clip: found, loaded with every key accounted for, and their tokenizers."""

import re
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import FormatError, MissingDependencyError, UnsupportedError, VitreousError, unknown

EXTRAS = {"timm": "timm", "open_clip": "open-clip"}


def library(name: str) -> Any:
    """A library that is an extra, imported when it is needed.

    Raises:
        MissingDependencyError: saying how to install it, or why it cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"this model is loaded by {name}, which cannot be imported here ({error}): "
            f"pip install vitreous[{EXTRAS[name]}]"
        ) from error
    except RuntimeError as error:  # a CUDA build of torchvision beside a CPU build of torch, or the other way round
        raise MissingDependencyError(
            f"{name} is installed, but its dependency torchvision does not fit this build of torch ({error}); install "
            "the torchvision that belongs to it"
        ) from error


def load_timm(path: str, tag: str, *, local: bool, hub: bool, revision: str | None, **options: Any) -> nn.Module:
    """A timm model with its weights: a folder, a hub id, or an architecture whose tag is a weights file or is empty.

    OpenAI's, MetaCLIP's and DFN's towers run QuickGELU: the architecture that has it is chosen where timm has two.
    """
    timm = library("timm")
    if local:
        return _strict(path, timm.create_model, f"local-dir:{path}", pretrained=True, **options)
    if hub:
        at = f"@{revision}" if revision else ""
        return _strict(path, timm.create_model, f"hf-hub:{path}{at}", pretrained=True, **options)
    architecture, _, weights = path.partition(".")
    if not timm.is_model(architecture):
        raise unknown("timm architecture", architecture, timm.list_models())
    if tag:
        _demand_file(tag)
        return _strict(tag, timm.create_model, path, checkpoint_path=tag, **options)
    quick = architecture.replace("_clip_", "_clip_quickgelu_", 1)
    if weights and timm.is_model(quick) and timm.models.is_model_pretrained(f"{quick}.{weights}"):
        path = f"{quick}.{weights}"
    return _strict(path, timm.create_model, path, pretrained=True, **options)


def load_open_clip(path: str, tag: str, *, local: bool, hub: bool, revision: str | None, **options: Any) -> nn.Module:
    """An open_clip model with its weights: a folder, a hub id, or an architecture and its tag or weights file."""
    open_clip = library("open_clip")
    if revision:
        raise UnsupportedError("open_clip loads the main revision of a hub repository only")
    name = f"local-dir:{path}" if local else f"hf-hub:{path}" if hub else path
    if not (local or hub):
        if path not in open_clip.list_models():
            raise unknown("open_clip architecture", path, open_clip.list_models())
        tags = open_clip.list_pretrained_tags_by_model(path)
        if not tag or (tag not in tags and "/" not in tag and "." not in tag):
            how = "Name them as open_clip:ARCHITECTURE/WEIGHTS"
            raise unknown(f"weights of open_clip's {path}", tag, tags, hint=how)
        if tag in tags:
            options |= _activation(open_clip, path, tag)
        else:
            _demand_file(tag)
        options["pretrained"] = tag
    return _strict(path, open_clip.create_model, name, require_pretrained=True, **options)


def _activation(open_clip: Any, architecture: str, tag: str) -> dict[str, Any]:
    """QuickGELU where the weights were trained with it.

    Raises:
        UnsupportedError: if the architecture has QuickGELU and the weights were trained without.
    """
    trained = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    built = open_clip.get_model_config(architecture).get("quick_gelu", False)
    if architecture.endswith("-quickgelu") and not trained:
        right = architecture.removesuffix("-quickgelu")
        raise UnsupportedError(f"{tag} was trained without QuickGELU: use open_clip:{right}/{tag}")
    return {"force_quick_gelu": True} if trained and not built else {}


def _demand_file(file: str) -> None:
    if not Path(file).is_file():
        raise FormatError(f"there is no weights file {file}")


def _strict(source: str, create: Any, *args: Any, **options: Any) -> nn.Module:
    """Calls the library; its complaints about weights in our words."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "QuickGELU mismatch")  # see `_activation`
            return create(*args, **options).eval()
    except VitreousError:
        raise
    except Exception as error:
        text = str(error)
        if "weights_only" in text.lower() or isinstance(error, UnpicklingError):
            raise FormatError(
                f"{source} holds a pickle that is not plain weights; it was not opened: {text[:200]}"
            ) from error
        if "loading state_dict" in text or "size mismatch" in text:
            raise FormatError(f"the weights of {source} do not fit. {_listed(text)}") from error
        if "safetensor" in type(error).__name__.lower() or "header" in text.lower():
            raise FormatError(f"a weights file of {source} is damaged: {text[:200]}") from error
        raise


def _listed(text: str) -> str:
    """torch's message about keys, one kind after another."""
    found = []
    for what in ("missing", "unexpected"):
        for keys in re.findall(rf"{what.title()} key\(s\)[^:]*: (.*)", text):
            names = re.findall(r'"([^"]+)"', keys)
            more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
            found.append(f"{what}: {', '.join(names[:20])}{more}")
    sizes = re.findall(r"size mismatch for (\S+): .*?torch.Size\((\[.*?\])\).*?(\[[^]]*\])", text)
    found += [f"mismatched: {name} is {a}, should be {b}" for name, a, b in sizes[:20]]
    return "; ".join(found) or text[:500]


class OpenClipTokenizer:
    """open_clip's tokenizer with the calling convention of transformers: ids, always padded to the context length."""

    def __init__(self, native: Any) -> None:
        self.native = native

    def __call__(self, text: Sequence[str], max_length: int | None = None, **_: Any) -> dict[str, Tensor]:
        """`input_ids`, `[n, context]`."""
        return {"input_ids": torch.as_tensor(self.native(list(text)))}


def open_clip_tokenizer(path: str, *, local: bool, hub: bool) -> OpenClipTokenizer:
    """The tokenizer of an open_clip model."""
    name = f"local-dir:{path}" if local else f"hf-hub:{path}" if hub else path
    return OpenClipTokenizer(library("open_clip").get_tokenizer(name))


def adapt_tokenizer(processor: Any) -> Any:
    """open_clip's tokenizers with transformers' calling convention; anything else as it is."""
    return OpenClipTokenizer(processor) if type(processor).__module__.startswith("open_clip") else processor
