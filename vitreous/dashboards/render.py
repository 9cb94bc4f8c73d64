"""From a record to a folder that opens by double click, with no server and no network.

```
index.html  app.js  app.css
data/manifest.js      schema version, provenance, columns, groups, shard map
data/table.js         every column of every latent, top pictures and small histograms
data/pictures_0000.js what is known of 4,096 pictures each
data/i_0000.js        all active latents of 16 images each, for the image view
data/f_0000.js        everything else of 256 latents each, loaded when one of them is looked at
img/<hash>.webp       every picture once
```

Every data file is JSON inside a one-line call; `dashboard.schema.json` next to this file describes them.
"""

import hashlib
import io
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitreous.dashboards import wire
from vitreous.dashboards.codes import code_shards, explore_info
from vitreous.dashboards.enrichment import best, f1, lift, lift_lower
from vitreous.dashboards.record import Group, Picture, Record
from vitreous.errors import BadInputError, StoreError

SCHEMA = "1.0"  # a page refuses another major version and ignores unknown fields of a newer minor one
SHARD = 256
PICTURE_SHARD = 4096
STRIP = 8  # pictures per row of the overview
SPARK = 24  # bins of the small histograms
LISTED = 10  # classes or factors per latent, by each of two rankings
QUALITY = 80


def render(record: Record, out: str | Path) -> Path:
    """Write the dashboard of a record.

    Args:
        record: what to show.
        out: folder to write; made if missing. A dashboard that is already there is replaced, other files are left.

    Returns:
        The path of its `index.html`.

    Raises:
        BadInputError: `out` is a file, or a folder that holds something else than a dashboard under our names.
        StoreError: the folder cannot be written.
    """
    out = Path(out)
    _clear(out)
    try:
        (out / "data").mkdir(parents=True, exist_ok=True)
        (out / "img").mkdir(exist_ok=True)
        for name in ("index.html", "app.js", "app.css"):
            (out / name).write_bytes(resources.files("vitreous.dashboards").joinpath("static", name).read_bytes())
        for name, payload in payloads(record, _write_pictures(record.pictures, out / "img")):
            (out / "data" / f"{name}.js").write_text(wire.script(name, payload), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the dashboard to {out}: {error}") from error
    return out / "index.html"


def payloads(record: Record, files: list[str | None]) -> list[tuple[str, Any]]:
    """All data files as (name, JSON value), the manifest first."""
    n, shards = record.n_latents, range(0, record.n_latents, SHARD)
    table = [_shard(record, start, min(start + SHARD, n)) for start in shards]
    known = [_picture(p, f, record.grid) for p, f in zip(record.pictures, files, strict=True)]
    pictures = [known[a : a + PICTURE_SHARD] for a in range(0, len(known), PICTURE_SHARD)]
    return [
        ("manifest", _manifest(record, len(table), len(pictures))),
        ("table", _table(record)),
        *((f"pictures_{i:04d}", {"pictures": part}) for i, part in enumerate(pictures)),
        *((f"f_{i:04d}", part) for i, part in enumerate(table)),
        *((f"i_{i:04d}", part) for i, part in enumerate(code_shards(record))),
    ]


def _clear(out: Path) -> None:
    """Remove an older dashboard, and refuse to touch anything else."""
    if out.is_file():
        raise BadInputError(f"{out} is a file; give a folder for the dashboard")
    ours = (out / "data" / "manifest.js").is_file()
    for name in ("data", "img"):
        folder = out / name
        if folder.exists() and not ours and any(folder.iterdir()):
            raise BadInputError(f"{folder} exists and is not part of a dashboard; give another folder")
        if folder.exists() and ours:
            shutil.rmtree(folder)


def _write_pictures(pictures: tuple[Picture, ...], folder: Path) -> list[str | None]:
    """Write each distinct picture once; the file name of every picture."""
    files: list[str | None] = []
    for picture in pictures:
        if picture.image is None:
            files.append(None)
            continue
        data = webp(picture.image)
        name = hashlib.sha256(data).hexdigest()[:20] + ".webp"
        if not (folder / name).exists():
            (folder / name).write_bytes(data)
        files.append(name)
    return files


def webp(image: Image.Image) -> bytes:
    """A picture in WebP, finer where it is small and will be shown enlarged."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY if max(image.size) > 96 else 94, method=4)
    return buffer.getvalue()


def _picture(picture: Picture, file: str | None, grid: tuple[int, int]) -> dict[str, Any]:
    facts = {"id": picture.id, "file": file, "label": picture.label, "caption": picture.caption,
             "source": picture.source, "licence": picture.licence}  # fmt: skip
    if picture.image is not None:
        facts["size"] = list(picture.image.size)
    if picture.regions:
        facts["regions"] = [wire.region(r.name, r.mask, grid) for r in picture.regions]
    return {k: v for k, v in facts.items() if v not in (None, "")}


def _manifest(record: Record, n_shards: int, n_picture_shards: int) -> dict[str, Any]:
    columns = [
        {"name": c.name, "title": c.title, "about": c.about, "format": c.format, "scale": c.scale}
        | ({"names": list(c.names)} if c.format == "category" else {})
        for c in record.columns
    ]
    facts = {k: v.item() if isinstance(v, np.generic) else v for k, v in record.header.items()}
    run = hashlib.sha256(repr(sorted((k, v) for k, v in facts.items() if k != "date")).encode()).hexdigest()[:16]
    return {
        "schema": SCHEMA,
        "run": run,
        "header": facts,
        "n_latents": record.n_latents,
        "grid": list(record.grid),
        "extra": list(record.extra),
        "columns": columns,
        "groups": [
            {"name": g.name, "title": g.title, "about": g.about, "bands": list(g.bands)} for g in record.groups
        ],
        "enrichments": [
            {"kind": t.kind, "unit": t.unit, "names": list(t.names), "total": int(t.total),
             "present": [int(v) for v in t.present]} for t in record.enrichments
        ],
        "neighbours": [{"name": m.name, "title": m.title, "about": m.about} for m in record.neighbours],
        "explore": explore_info(record),
        "shard_size": SHARD,
        "shards": [f"f_{i:04d}" for i in range(n_shards)],
        "n_pictures": len(record.pictures),
        "picture_shard_size": PICTURE_SHARD,
        "picture_shards": [f"pictures_{i:04d}" for i in range(n_picture_shards)],
    }  # fmt: skip


def _table(record: Record) -> dict[str, Any]:
    columns = {
        c.name: wire.array(c.values, "i4" if c.format in ("category", "integer", "flag") else "f4")
        for c in record.columns
    }
    table: dict[str, Any] = {"columns": columns, "labels": {str(k): v for k, v in sorted(record.labels.items())}}
    if record.groups:
        table["strip"] = wire.array(record.groups[0].picture[:, :STRIP], "i4")
    if record.histogram is not None:
        table["spark"] = wire.array(_spark(record.histogram.counts), "u1")
    return table


def _spark(counts: np.ndarray) -> np.ndarray:
    """Histograms squeezed into a few bins of eight bits on a log scale, each relative to its highest bin."""
    edges = np.linspace(0, counts.shape[1], SPARK + 1).astype(int)
    small = np.log1p(np.add.reduceat(counts, edges[:-1], axis=1))
    return np.rint(small / np.maximum(small.max(axis=1, keepdims=True), 1e-9) * 255).astype(np.uint8)


def _shard(record: Record, start: int, stop: int) -> dict[str, Any]:
    """Everything about latents start..stop that the overview does not need."""
    part: dict[str, Any] = {
        "start": start,
        "groups": [_examples(g, start, stop, record.n_cells) for g in record.groups],
    }
    if (h := record.histogram) is not None:
        part["histogram"] = {
            "top": wire.array(h.top[start:stop], "f4"),
            "counts": wire.array(h.counts[start:stop], "u4"),
            "zero": wire.array(h.zero[start:stop], "u4"),
        }
    if record.position is not None:
        scale = record.position[start:stop].max(axis=1, keepdims=True)
        level = np.rint(record.position[start:stop] / np.maximum(scale, 1e-30) * 255)
        part["position"] = {"scale": wire.array(scale[:, 0], "f4"), "level": wire.array(level, "u1")}
    part["enrichments"] = [_enrichment(t, start, stop) for t in record.enrichments]
    part["neighbours"] = [
        {"index": wire.array(m.index[start:stop], "i4"), "score": wire.array(m.score[start:stop], "f4")}
        for m in record.neighbours
    ]
    return part


def _examples(group: Group, start: int, stop: int, n_cells: int) -> dict[str, Any]:
    k = group.picture.shape[1]
    packed: dict[str, Any] = {
        "picture": wire.array(group.picture[start:stop], "i4"),
        "peak": wire.array(group.peak[start:stop], "f4"),
        "heat": [wire.heat(*group.heat.of(e), n_cells) for e in range(start * k, stop * k)],
    }
    if group.band is not None:
        packed["band"] = wire.array(group.band[start:stop], "u1")
    return packed


def _enrichment(table: Any, start: int, stop: int) -> dict[str, Any]:
    """The best names of each latent with their counts; everything else follows from these and the manifest."""
    part = type(table)(table.kind, table.unit, table.names, table.total, table.present,
                       table.active[start:stop], table.joint[start:stop])  # fmt: skip
    chosen = best(part, LISTED)
    numbers = {"f1": f1(part), "lift": lift(part), "lift_lower": lift_lower(part)}
    rows = []
    for i, names in enumerate(chosen):
        rows.append([[int(j), int(part.joint[i, j]), *(round(float(v[i, j]), 5) for v in numbers.values())]
                     for j in names])  # fmt: skip
    return {"active": wire.array(part.active, "u4"), "rows": rows}
