"""One shard of a store: a safetensors file with activations and provenance, and a JSON file that vouches for it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from vitreous.errors import StoreError
from vitreous.sae.disk import sha256, tensor_bytes, write_bytes, write_json

COLUMNS = {"image": torch.int32, "position": torch.int32, "kind": torch.uint8, "row": torch.int16, "col": torch.int16}


@dataclass(frozen=True)
class ShardInfo:
    """What the JSON file beside a shard says.

    Attributes:
        name: file name of the safetensors file.
        first: index of the first source item.
        n_items: source items that this shard covers, skipped ones included.
        rows: activation rows.
        size: bytes of the safetensors file.
        sha256: its hash.
        ids: identifier of every covered item.
        labels: label of every covered item.
        skipped: items that could not be read: ``{"index", "id", "error"}``.
    """

    name: str
    first: int
    n_items: int
    rows: int
    size: int
    sha256: str
    ids: list[str]
    labels: list[str | None]
    skipped: list[dict[str, Any]] = field(default_factory=list)


def shard_name(number: int) -> str:
    """``shard-00012.safetensors``"""
    return f"shard-{number:05d}.safetensors"


def write_shard(
    folder: Path, number: int, tensors: dict[str, Tensor], first: int, ids: list[str], labels: list, skipped: list
) -> ShardInfo:
    """Write the tensors, then the JSON file that makes them count."""
    data = tensor_bytes(tensors)
    rows = tensors["image"].shape[0]
    info = ShardInfo(shard_name(number), first, len(ids), rows, len(data), sha256(data), ids, labels, skipped)
    write_bytes(folder / info.name, data)
    write_json((folder / info.name).with_suffix(".json"), asdict(info))
    return info


def read_info(folder: Path, number: int) -> ShardInfo | None:
    """The JSON file of a shard; None when it is absent or not readable as one (the shard then does not count)."""
    try:
        return ShardInfo(**json.loads((folder / shard_name(number)).with_suffix(".json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def damage(folder: Path, info: ShardInfo, *, content: bool) -> str:
    """What is wrong with a shard's file, or "".

    Args:
        folder: the store.
        info: what the file should be.
        content: compare the hash (reads everything); otherwise only the size.
    """
    path = folder / info.name
    try:
        size = path.stat().st_size
        if size != info.size:
            return f"it has {size} bytes instead of {info.size}"
        if content and _file_hash(path) != info.sha256:
            return "its hash differs from the recorded one"
    except OSError as error:
        return str(error.strerror or error)
    return ""


def open_shard(folder: Path, info: ShardInfo, *, verify: bool = True) -> dict[str, Tensor]:
    """The tensors of a shard, memory-mapped.

    Raises:
        StoreError: the file is missing or damaged; the message names it.
    """
    problem = damage(folder, info, content=verify)
    if problem:
        raise StoreError(
            f"shard {folder / info.name} is damaged: {problem}. Run the same harvest again: it replaces this shard only"
        )
    with safetensors.safe_open(folder / info.name, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
