"""Native weights and processors of a checkpoint, with every key accounted for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from vitreous.errors import FormatError, VitreousError
from vitreous.hooked import thirdparty
from vitreous.hooked.loading import (
    Source,
    class_name,
    demand_family,
    demand_vlm,
    download,
    family_for,
    offline,
    read_config,
)

QUIET_BYTES = 200_000_000
"""Folders smaller than this load without a progress bar."""
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json")


def load_native(
    source: Source, kinds: tuple[str, ...], dtype: torch.dtype, device: str | torch.device, **options: Any
) -> nn.Module:
    """Loads the class that the checkpoint names, in evaluation mode.

    Args:
        source: where from.
        kinds: kinds of tower that the class must have; `("vlm",)` for a vision-language model.
        dtype: type of the weights.
        device: where to put them, unless `device_map` among the options says it. A quantised model stays where its
            loader puts it, unless the device is not the CPU.
        **options: passed to the native `from_pretrained` (device_map, quantization_config, attn_implementation, ...);
            those that are None are left out.

    Raises:
        UnsupportedError: for a class that no family knows.
        FormatError: listing the missing, unexpected and mismatched keys of the checkpoint.
        NetworkError: if weights must be downloaded and cannot be.
    """
    if source.library != "transformers":
        native = _load_thirdparty(source, **options)
        for kind in kinds:
            family_for(native, kind)
        return native.to(device=device, dtype=dtype)
    name = class_name(read_config(source), source)
    if kinds == ("vlm",):
        demand_vlm(name)
    drop: Mapping[str, Mapping[str, Any]] = {}
    for kind in reversed(kinds):
        drop = demand_family(name, kind)[1].drop if kind != "vlm" else {}
    cls = getattr(transformers, name)
    options = {key: value for key, value in options.items() if value is not None}
    if "quantization_config" in options and torch.device(device).type != "cpu":
        options.setdefault("device_map", {"": device})
    native, problems = _load(cls, source, dtype, **options)
    for prefix, build in drop.items():
        if problems["missing"] and all(key.startswith(prefix) for key in problems["missing"]):
            native, problems = _load(cls, source, dtype, **options, **build)
            problems["unexpected"] = [k for k in problems["unexpected"] if not k.startswith(prefix)]
    if any(problems.values()):
        listed = "; ".join(f"{what}: {_short(keys)}" for what, keys in problems.items() if keys)
        raise FormatError(f"the weights of {source.name} do not fit {name}. {listed}")
    native.eval()
    placed = "device_map" in options or getattr(native, "is_quantized", False)
    return native if placed else native.to(device)


def _load_thirdparty(source: Source, **options: Any) -> nn.Module:
    load = thirdparty.load_timm if source.library == "timm" else thirdparty.load_open_clip
    thirdparty.library(source.library)
    if source.hub:
        download(source, "config.json" if source.library == "timm" else "open_clip_config.json")
    where = {"local": source.local, "hub": source.hub, "revision": source.revision}
    try:
        return load(source.path, source.tag, **where, **options)
    except VitreousError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or "download" in str(error):
            raise offline(source) from error
        raise


@contextmanager
def _quiet(source: Source) -> Iterator[None]:
    """No native log lines, and no progress bar for a small folder."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if source.local and sum(f.stat().st_size for f in Path(source.path).iterdir()) < QUIET_BYTES:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _load(cls: Any, source: Source, dtype: torch.dtype, **options: Any) -> tuple[Any, dict[str, list[str]]]:
    try:
        with _quiet(source):
            native, info = cls.from_pretrained(
                source.path,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **source.options,
                **options,
            )
    except Exception as error:
        raise _explain(error, source) from error
    mismatched = [f"{key} is {tuple(a)}, should be {tuple(b)}" for key, a, b in info["mismatched_keys"]]
    return native, {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "mismatched": sorted(mismatched),
    }


def _explain(error: Exception, source: Source) -> Exception:
    """A native loading error in our words, where we know better ones."""
    from pickle import UnpicklingError

    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, UnpicklingError) or "weights_only" in str(error).lower():
        return FormatError(f"{source.name} holds a pickle that is not plain weights; it was not opened: {text[:200]}")
    if "safetensor" in type(error).__name__.lower() or "header" in text.lower():
        return FormatError(f"a weights file of {source.name} is damaged: {text[:200]}")
    if not source.local and isinstance(error, OSError):
        return offline(source)
    if isinstance(error, OSError):
        return FormatError(f"{source.name}: {text[:300]}")
    return error


def _short(keys: list[str], most: int = 20) -> str:
    return ", ".join(keys[:most]) + (f", ... ({len(keys)} in all)" if len(keys) > most else "")


def load_processor(source: Source) -> tuple[Any, str]:
    """The native processor of a vision-language checkpoint, with its images prepared by PIL.

    A model is of use without one (for token ids and pixels that were made elsewhere), so this does not raise.

    Returns:
        the processor, or None and why there is none: no files, or a library that it needs and that is not installed.
    """
    if source.local and not any((Path(source.path) / file).is_file() for file in PROCESSOR_FILES):
        return None, f"{source.name} has no processor: save one into the folder with processor.save_pretrained"
    try:
        with _quiet(source):
            return transformers.AutoProcessor.from_pretrained(
                source.path, backend="pil", trust_remote_code=False, **source.options
            ), ""
    except (ImportError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        return None, f"the processor of {source.name} could not be loaded: {said[:300]}"
