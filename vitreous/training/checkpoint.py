"""Checkpoints that are either whole or ignored: safetensors and JSON, written beside and renamed."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from vitreous.errors import StoreError
from vitreous.sae.disk import sha256, sync_folder, tensor_bytes, write_bytes, write_json

TENSORS, STATE = "state.safetensors", "state.json"
log = logging.getLogger("vitreous")


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any], keep: int) -> Path:
    """Write ``step-00001000/`` and delete all but the newest `keep` checkpoints.

    The folder appears under its name only after both files are on the disk.

    Raises:
        StoreError: disk full or folder not writable; older checkpoints are untouched.
    """
    target = folder / f"step-{step:08d}"
    part = folder / f".part-{step:08d}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        data = tensor_bytes(tensors)
        write_bytes(part / TENSORS, data)
        write_json(part / STATE, {"step": step, "sha256": sha256(data), **state})
        shutil.rmtree(target, ignore_errors=True)
        os.replace(part, target)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write checkpoint {target}: {error.strerror or error}") from error
    for old in checkpoints(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    return sorted(folder.glob("step-????????"), reverse=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of one checkpoint.

    Raises:
        StoreError: a file is missing, truncated or altered.
    """
    try:
        state = json.loads((path / STATE).read_text())
        data = (path / TENSORS).read_bytes()
        if sha256(data) != state["sha256"]:
            raise StoreError(f"checkpoint {path} is damaged: the hash of {TENSORS} differs")
        return safetensors.torch.load(data), state
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise StoreError(f"checkpoint {path} is damaged: {error}") from error


def latest_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest whole checkpoint; damaged ones are reported to the log and passed over. None if there is none."""
    for path in checkpoints(folder):
        try:
            return load_checkpoint(path)
        except StoreError as error:
            log.warning("%s; using an older one", error)
    return None
