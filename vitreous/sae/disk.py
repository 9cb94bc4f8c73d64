"""A coder on disk: ``config.json`` beside ``coder.safetensors``; and files that are either whole or absent."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vitreous.errors import FormatError, StoreError, VitreousError
from vitreous.sae.activation import from_dict, to_dict
from vitreous.sae.normalisation import Normalisation

CONFIG, WEIGHTS = "config.json", "coder.safetensors"
FORMAT, FORMAT_VERSION = "vitreous-coder", 1


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new one, never half of it.

    Raises:
        StoreError: the disk is full or the folder cannot be written to; no partial file is left behind.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        remove_quietly(part)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def remove_quietly(path: Path) -> None:
    """Delete a file if it is there and can be deleted."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut (POSIX; elsewhere nothing to do)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, data: Any) -> None:
    """`write_bytes` for JSON, with sorted nothing and two spaces: stable and readable in a diff."""
    write_bytes(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors in the safetensors format; strides are not kept, bits are."""
    return safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def save_coder(coder: Any, folder: str | Path) -> Path:
    """Write a coder; the configuration comes last and names the weights' hash, so a torn pair is noticed."""
    from vitreous import __version__

    folder = Path(folder)
    data = tensor_bytes(coder.state_dict())
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vitreous_version": __version__,
        "d_in": coder.d_in,
        "n_latents": coder.n_latents,
        "d_out": coder.d_out if coder.is_transcoder else None,
        "activation": to_dict(coder.activation),
        "pre_bias": coder.pre_bias,
        "normalisation": {"kind": coder.normalisation.kind, "folded": coder.normalisation.folded},
        "weights_sha256": sha256(data),
        "meta": coder.meta,
    }
    write_bytes(folder / WEIGHTS, data)
    write_json(folder / CONFIG, config)
    return folder


def read_coder(cls: type, folder: str | Path) -> Any:
    """Read a coder.

    Raises:
        StoreError: a file is missing or unreadable.
        FormatError: the files are damaged, do not belong together or are not in this format.
    """
    folder = Path(folder)
    config = read_config(folder)
    data = _read(folder / WEIGHTS)
    if sha256(data) != config.get("weights_sha256"):
        raise FormatError(f"{folder / WEIGHTS} is damaged or does not belong to {CONFIG}: its hash differs")
    try:
        tensors = safetensors.torch.load(data)
        coder = cls(
            config["d_in"],
            config["n_latents"],
            from_dict(config["activation"]),
            config["d_out"],
            pre_bias=config["pre_bias"],
            normalisation=Normalisation(**config["normalisation"]),
            meta=config["meta"],
        )
    except (KeyError, TypeError, safetensors.SafetensorError) as error:
        raise error if isinstance(error, VitreousError) else FormatError(f"{folder}: {error!r}") from error
    _fill(coder, tensors, folder)
    return coder


def read_config(folder: Path) -> dict[str, Any]:
    """The validated ``config.json`` of a coder's folder."""
    path = folder / CONFIG
    try:
        config = json.loads(_read(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise FormatError(f"{path} does not describe a {FORMAT}")
    if config.get("format_version") != FORMAT_VERSION:
        raise FormatError(
            f"{path} has format version {config.get('format_version')!r}, this library reads {FORMAT_VERSION}"
        )
    return config


def _fill(coder: Any, tensors: dict[str, Tensor], folder: Path) -> None:
    state = coder.state_dict()
    if set(tensors) != set(state):
        found, wanted = sorted(tensors), sorted(state)
        raise FormatError(f"{folder / WEIGHTS} holds tensors {found}, but the configuration needs {wanted}")
    for name, tensor in tensors.items():
        if tensor.shape != state[name].shape:
            raise FormatError(
                f"{folder / WEIGHTS}: {name} has shape {tuple(tensor.shape)}, expected {tuple(state[name].shape)}"
            )
    coder.to(tensors["W_enc"].dtype)
    with torch.no_grad():
        for name, tensor in tensors.items():
            state_tensor = (
                coder.get_parameter(name) if name in dict(coder.named_parameters()) else coder.get_buffer(name)
            )
            state_tensor.copy_(tensor)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
