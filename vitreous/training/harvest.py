"""Images through a model into a store, once, resuming where an earlier run was interrupted."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitreous.errors import BadInputError, StoreError
from vitreous.sae.disk import write_json
from vitreous.training.extract import KINDS, extract
from vitreous.training.progress import Advance, Progress, track
from vitreous.training.shard import COLUMNS, ShardInfo, damage, read_info, write_shard
from vitreous.training.source import Chunk, Source, chunks
from vitreous.training.store import FORMAT, FORMAT_VERSION, MANIFEST, ActivationStore, hash_of, read_manifest

SHARD_BYTES = 64 * 2**20
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def harvest(
    model: Any,
    items: Sequence[Any] | Iterable[Any],
    out: str | Path,
    points: Sequence[str],
    *,
    tokens: str = "patch",
    dtype: str | torch.dtype = "float32",
    batch_size: int = 64,
    images_per_shard: int | None = None,
    limit: int | None = None,
    progress: Progress = False,
    meta: dict[str, Any] | None = None,
) -> ActivationStore:
    """Store the activations of several hook points for all images.

    Interrupted at any moment (even by SIGKILL) and called again with the same arguments, it goes on after the last
    whole shard and ends with the same bytes as an undisturbed run. On a finished store it checks every shard's hash
    and makes damaged ones again. Images that cannot be read are skipped and listed in ``store.skipped``.

    Args:
        model: a hooked model (`preprocess`, `run_with_cache`, `tokens`, `name`).
        items: `Item`s, PIL images or scenes; a sequence, or an iterable that yields the same items every time.
        out: folder of the store.
        points: hook points with one vector per position.
        tokens: "patch", "cls", "register" or "all".
        dtype: "float32", "bfloat16" or "float16" on disk.
        batch_size: images per forward pass.
        images_per_shard: a multiple of `batch_size`; by default what makes shards of about 64 MiB.
        limit: at most this many items.
        progress: True for a bar, or a callable (finished images, total).
        meta: anything else to record.

    Raises:
        BadInputError: the folder holds a harvest with other arguments, or an argument is out of range.
        StoreError: the folder cannot be written to or the disk is full; what is there stays usable.
    """
    out, source = Path(out), Source(items, limit)
    plan, positions = _plan(model, source, list(points), tokens, _dtype_name(dtype), batch_size)
    if images_per_shard is None:
        row_bytes = sum(plan["points"].values()) * DTYPES[plan["dtype"]].itemsize
        images_per_shard = max(1, SHARD_BYTES // (row_bytes * len(positions) * batch_size)) * batch_size
    if batch_size < 1 or images_per_shard < 1 or images_per_shard % batch_size:
        raise BadInputError(f"images_per_shard={images_per_shard} must be a positive multiple of {batch_size}")
    plan["images_per_shard"] = images_per_shard
    begun = _begin(out, plan, meta or {})
    shards: list[ShardInfo] = []
    done = True
    with track("harvest", source.length, progress) as advance:
        for number in _counter(source.length, images_per_shard):
            info = read_info(out, number)
            if info is not None and not damage(out, info, content=True):
                advance(info.n_items)
            else:
                info, done = _make(model, source, out, number, plan, positions, advance), False
            if info is None or info.n_items == 0:
                break
            shards.append(info)
            if info.n_items < images_per_shard:
                break
    if not any(s.rows for s in shards):
        raise BadInputError(
            f"none of the {sum(s.n_items for s in shards)} images could be read: {_first_error(shards)}"
        )
    if not (done and begun["complete"]):
        _finish(out, begun, shards)
    return ActivationStore(out, verify=False)


def _plan(
    model: Any, source: Source, points: list[str], tokens: str, dtype: str, batch_size: int
) -> tuple[dict[str, Any], Tensor]:
    """What decides the content of the store, found by running one image; a resumed run must have the same plan."""
    if not points or len(set(points)) != len(points):
        raise BadInputError(f"points must be different and at least one, got {points}")
    positions = torch.as_tensor(model.tokens.index(tokens)).long()
    if positions.numel() == 0:
        raise BadInputError(f"{getattr(model, 'name', 'the model')} has no {tokens!r} tokens")
    trial = extract(model, _trial(source), points, positions[:1], torch.float32)
    widths = {point: trial[point].shape[1] for point in points}
    plan = {
        "model": str(getattr(model, "name", type(model).__name__)),
        "model_hash": _model_hash(model),
        "points": widths,
        "tokens": tokens,
        "positions": positions.tolist(),
        "kinds": list(KINDS),
        "grid": [int(n) for n in model.tokens.grid],
        "dtype": dtype,
        "n_items": source.length,
        "batch_size": batch_size,
    }
    return plan, positions


def _trial(source: Source) -> Chunk:
    """A grey image: the widths do not depend on what is on it, and an iterable stays untouched."""
    from PIL import Image

    from vitreous.data.item import Item

    if source.length == 0:
        raise BadInputError("there are no images to harvest")
    return Chunk(0, [(0, Item(Image.new("RGB", (64, 64), (128, 128, 128)), id="trial"))], ["trial"], [None])


def _model_hash(model: Any) -> str:
    """Hash of all weights, so that a store is never continued with other weights under the same name."""
    module = getattr(model, "native", model)
    digest = hashlib.sha256()
    if isinstance(module, torch.nn.Module):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _begin(out: Path, plan: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of an unfinished store, or check that the one that is there has the same plan."""
    from vitreous import __version__

    if (out / MANIFEST).exists():
        manifest = read_manifest(out)
        differing = [key for key in {**plan, **manifest["plan"]} if plan.get(key) != manifest["plan"].get(key)]
        if differing:
            was = {key: manifest["plan"].get(key) for key in differing if key != "positions"}
            now = {key: plan.get(key) for key in differing if key != "positions"}
            raise BadInputError(f"{out} holds another harvest: {was} there, {now} now. Choose another folder")
        return manifest
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is not a folder")
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vitreous_version": __version__,
        "complete": False,
        "plan": plan,
        "meta": meta,
    }
    write_json(out / MANIFEST, manifest)
    return manifest


def _make(
    model: Any, source: Source, out: Path, number: int, plan: dict[str, Any], positions: Tensor, advance: Advance
) -> ShardInfo | None:
    """Run the model over the images of one shard and write it; None when there are no images left."""
    first = number * plan["images_per_shard"]
    whole, parts = Chunk(first), []
    for chunk in chunks(source, first, first + plan["images_per_shard"], plan["batch_size"]):
        rows = extract(model, chunk, list(plan["points"]), positions, DTYPES[plan["dtype"]])
        parts += [rows] if rows else []
        whole.ids += chunk.ids
        whole.labels += chunk.labels
        whole.skipped += chunk.skipped
        advance(len(chunk.ids))
        if len(chunk.ids) < plan["batch_size"]:
            break
    if not whole.ids:
        return None
    tensors = {name: torch.cat([part[name] for part in parts]) for name in [*plan["points"], *COLUMNS]} if parts else {}
    if not parts:
        dtype = DTYPES[plan["dtype"]]
        tensors = {point: torch.empty(0, d, dtype=dtype) for point, d in plan["points"].items()}
        tensors |= {name: torch.empty(0, dtype=dtype) for name, dtype in COLUMNS.items()}
    return write_shard(out, number, tensors, first, whole.ids, whole.labels, whole.skipped)


def _finish(out: Path, manifest: dict[str, Any], shards: list[ShardInfo]) -> None:
    entries = [{"name": s.name, "rows": s.rows, "size": s.size, "sha256": s.sha256} for s in shards]
    manifest |= {
        "complete": True,
        "n_rows": sum(s.rows for s in shards),
        "n_images": sum(s.n_items - len(s.skipped) for s in shards),
        "n_skipped": sum(len(s.skipped) for s in shards),
        "content_hash": hash_of(shards),
        "shards": entries,
    }
    write_json(out / MANIFEST, manifest)


def _counter(n_items: int | None, per_shard: int) -> Iterable[int]:
    return range(10**5) if n_items is None else range(-(-n_items // per_shard))


def _dtype_name(dtype: str | torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise BadInputError(f"dtype {name!r}; known: {', '.join(DTYPES)}")
    return name


def _first_error(shards: list[ShardInfo]) -> str:
    return next((entry["error"] for s in shards for entry in s.skipped), "there are none")
