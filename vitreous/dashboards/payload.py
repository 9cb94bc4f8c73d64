"""What the data files of a dashboard hold: JSON values made from a record."""

import hashlib
from typing import Any

import numpy as np

from vitreous.dashboards import wire
from vitreous.dashboards.codes import code_shards, explore_info
from vitreous.dashboards.enrichment import best, f1, lift, lift_lower
from vitreous.dashboards.record import Comparison, Enrichment, Group, Picture, Record

SCHEMA = "1.0"  # a page refuses another major version and ignores unknown fields of a newer minor one
SHARD = 256
PICTURE_SHARD = 4096
PIXEL_SHARD = 256
STRIP = 8  # pictures per row of the overview
SPARK = 24  # bins of the small histograms
LISTED = 10  # classes or factors per latent, by each of two rankings


def payloads(
    record: Record, files: list[str | None], prefix: str = "", copies: list[str | None] | None = None
) -> list[tuple[str, Any]]:
    """All data files as (name, JSON value), the manifest first.

    Args:
        files: where each picture is, those of a compared record after those of the record itself: the name of a file
            in `img/`, or a data URI.
        prefix: put before the names of a compared record's files.
        copies: the pictures as data URIs, for pages that must read pixels back.
    """
    n, shards = record.n_latents, range(0, record.n_latents, SHARD)
    table = [_shard(record, start, min(start + SHARD, n)) for start in shards]
    known = [_picture(p, f, record.grid) for p, f in zip(record.pictures, files, strict=False)]
    pictures = [known[a : a + PICTURE_SHARD] for a in range(0, len(known), PICTURE_SHARD)]
    pixels = [(copies or [])[a : a + PIXEL_SHARD] for a in range(0, len(copies or []), PIXEL_SHARD)]
    named: list[tuple[str, Any]] = [
        ("manifest", _manifest(record, len(table), len(pictures), len(pixels) if copies else 0)),
        ("table", _table(record)),
        *((f"pictures_{i:04d}", {"pictures": part}) for i, part in enumerate(pictures)),
        *((f"f_{i:04d}", part) for i, part in enumerate(table)),
        *((f"pixels_{i:04d}", {"uris": part}) for i, part in enumerate(pixels)),
        *((f"i_{i:04d}", part) for i, part in enumerate(code_shards(record))),
    ]
    if (p := record.projection) is not None:
        named.append(("map", {"place": wire.array(p.place, "f4"), "about": p.about}))
    named = [(prefix + name, value) for name, value in named]
    if (c := record.comparison) is not None:
        named.append(("compare", _comparison(c)))
        named += payloads(c.other, files[len(known) :], "other_")
    return named


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "title": c.title,
        "index": wire.array(c.index, "i4"),
        "score": wire.array(c.score, "f4"),
        "back_index": wire.array(c.back_index, "i4"),
        "back_score": wire.array(c.back_score, "f4"),
    }


def _picture(picture: Picture, file: str | None, grid: tuple[int, int]) -> dict[str, Any]:
    place = "data" if file and file.startswith("data:") else "file"
    facts = {
        "id": picture.id,
        place: file,
        "label": picture.label,
        "caption": picture.caption,
        "source": picture.source,
        "licence": picture.licence,
    }
    if picture.image is not None:
        facts["size"] = list(picture.image.size)
    if picture.regions:
        facts["regions"] = [wire.region(r.name, r.mask, grid) for r in picture.regions]
    return {k: v for k, v in facts.items() if v not in (None, "")}


def _manifest(record: Record, n_shards: int, n_picture_shards: int, n_pixel_shards: int) -> dict[str, Any]:
    columns = [
        {"name": c.name, "title": c.title, "about": c.about, "format": c.format, "scale": c.scale}
        | ({"names": list(c.names)} if c.format == "category" else {})
        for c in record.columns
    ]
    facts = {k: v.item() if isinstance(v, np.generic) else v for k, v in record.header.items()}
    stable = sorted((k, v) for k, v in facts.items() if k not in ("date", "vitreous"))
    run = hashlib.sha256(repr(stable).encode()).hexdigest()[:16]
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
        "pixels": {"shard_size": PIXEL_SHARD, "shards": [f"pixels_{i:04d}" for i in range(n_pixel_shards)]}
        if n_pixel_shards
        else None,
        "explore": explore_info(record),
        "map": record.projection is not None,
        "compare": record.comparison is not None,
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


def _enrichment(table: Enrichment, start: int, stop: int) -> dict[str, Any]:
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
