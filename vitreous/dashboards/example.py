"""Which images stand for a latent, and the heatmaps of exactly those."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from vitreous.dashboards.record import Group, Heatmaps
from vitreous.dashboards.source import Batch
from vitreous.dashboards.tally import Tally

BANDS = ("100-80 %", "80-60 %", "60-40 %", "40-20 %", "20-0 %")


@dataclass(frozen=True)
class Chosen:
    """Image indices (into the store's images, -1 for none) that one group wants for every latent."""

    name: str
    title: str
    about: str
    image: Int[np.ndarray, "latents k"]
    bands: tuple[str, ...] = ()
    band: Int[np.ndarray, "latents k"] | None = None
    silent: bool = False  # only images in which the latent does not fire are kept


def choose(tally: Tally, near: Int[np.ndarray, "latents k"] | None, k: int, seed: int) -> tuple[Chosen, ...]:
    """Pick the examples of every latent from the finished tally."""
    top = tally.top.image.numpy()
    quantile, band = _quantiles(tally, k)
    out = [
        Chosen("top", "Top images", "The images with the highest peak activation.", top),
        Chosen("quantiles", "Across the range",
               f"A uniform sample of up to {tally.sample.key.shape[1]} images in which it fires, ranked by peak; "
               "rows from the strongest fifth to the weakest.", quantile, BANDS, band),
        Chosen("uniform", "Uniform sample", "Images drawn at random from all in which it fires.",
               tally.sample.image.numpy()[:, :k]),
    ]  # fmt: skip
    if near is not None and near.shape[1]:
        out.append(
            Chosen("near", "Near misses", "Top images of its nearest decoder neighbours in which it stays silent.",
                   _near_misses(top, near, k), silent=True)
        )  # fmt: skip
    out.append(Chosen("silent", "Silent", "Random images in which it does not fire.", _silent(tally, k, seed)))
    return tuple(out)


def _quantiles(tally: Tally, k: int) -> tuple[np.ndarray, np.ndarray]:
    """From the sample of firing images ranked by peak: `k` (rounded down to the bands) evenly spaced ones per band."""
    image, peak = tally.sample.image.numpy(), tally.sample.peak.numpy()
    rank = np.argsort(np.where(image >= 0, -peak, np.inf), axis=1, kind="stable")
    image = np.take_along_axis(image, rank, 1)
    n = (image >= 0).sum(1)
    slots = len(BANDS) * k
    place = np.arange(slots)[None] * n[:, None] // slots
    fresh = np.concatenate([np.ones((len(place), 1), bool), np.diff(place, axis=1) > 0], 1) & (n[:, None] > 0)
    picked = np.where(fresh, np.take_along_axis(image, np.minimum(place, image.shape[1] - 1), 1), -1)
    band = np.broadcast_to(np.arange(slots) // k, picked.shape)
    return picked, np.ascontiguousarray(band)


def _near_misses(top: np.ndarray, near: np.ndarray, k: int) -> np.ndarray:
    """Candidates: the best images of each neighbour in turn that are not among the latent's own top images."""
    depth = min(top.shape[1], k)
    pool = top[near][:, :, :depth].transpose(0, 2, 1).reshape(len(top), -1)
    out = np.full((len(top), 3 * k), -1, top.dtype)
    for row, (own, candidates) in enumerate(zip(top, pool, strict=True)):
        _, first = np.unique(candidates, return_index=True)
        ordered = candidates[np.sort(first)]
        ordered = ordered[(ordered >= 0) & ~np.isin(ordered, own)][: out.shape[1]]
        out[row, : len(ordered)] = ordered
    return out


def _silent(tally: Tally, k: int, seed: int) -> np.ndarray:
    """Images of the random panel in which the latent did not fire, a different choice for every latent."""
    out = np.full((tally.n_latents, k), -1, np.int64)
    rng = np.random.default_rng(seed + 1)
    shift = rng.integers(0, len(tally.panel), tally.n_latents)
    for latent in range(tally.n_latents):
        order = np.roll(np.arange(len(tally.panel)), shift[latent])
        quiet = tally.panel[order[~tally.panel_fires[order, latent]]][:k]
        out[latent, : len(quiet)] = quiet
    return out


class Heat:
    """Collects the activations of chosen (image, latent) pairs while the chosen images are encoded again."""

    def __init__(self, chosen: tuple[Chosen, ...], n_latents: int):
        keys = []
        for part in chosen:
            latent = np.broadcast_to(np.arange(n_latents)[:, None], part.image.shape)
            keys.append((part.image.astype(np.int64) * n_latents + latent)[part.image >= 0])
        self.n_latents = n_latents
        self.key = np.unique(np.concatenate(keys))
        self.images = np.unique(self.key // n_latents)
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._table: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, batch: Batch) -> None:
        """Keep what was asked for."""
        key = (batch.images[batch.slot] * self.n_latents + batch.latent).numpy()
        pair = np.searchsorted(self.key, key).clip(max=len(self.key) - 1)
        hit = self.key[pair] == key
        self._found.append((pair[hit], batch.cell.numpy()[hit], batch.value.numpy()[hit]))

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For all pairs: start offsets, cells, values, sorted by (pair, cell)."""
        if self._table is None:
            pair, cell, value = (np.concatenate(part) for part in zip(*self._found, strict=True))
            order = np.lexsort((cell, pair))
            start = np.searchsorted(pair[order], np.arange(len(self.key) + 1))
            self._table = start, cell[order], value[order]
        return self._table


def groups(chosen: tuple[Chosen, ...], heat: Heat) -> tuple[tuple[Group, ...], np.ndarray]:
    """The groups with their heatmaps, and the image index of every picture they refer to."""
    start, cell, value = heat.table()
    built = []
    for part in chosen:
        latent = np.broadcast_to(np.arange(len(part.image))[:, None], part.image.shape)
        pair = np.searchsorted(heat.key, part.image * heat.n_latents + latent).clip(max=len(heat.key) - 1)
        length = np.where(part.image >= 0, np.diff(start)[pair], 0)
        image = part.image
        if part.silent:
            image, pair, length = _keep_silent(image, pair, length)
        owner = np.repeat(np.arange(image.size), length.ravel())
        offset = np.concatenate([[0], np.cumsum(length.ravel())])
        entry = start[pair.ravel()][owner] + np.arange(offset[-1]) - offset[owner]
        peak = np.zeros(image.size, np.float32)
        np.maximum.at(peak, owner, value[entry])
        maps = Heatmaps(offset, cell[entry].astype(np.int32), value[entry])
        built.append((part, image, peak.reshape(image.shape), maps))
    used = np.unique(np.concatenate([image[image >= 0] for _, image, _, _ in built]))
    return tuple(
        Group(p.name, p.title, p.about, np.where(image >= 0, np.searchsorted(used, image), -1).astype(np.int32),
              peak, maps, p.bands, p.band)
        for p, image, peak, maps in built
    ), used  # fmt: skip


def _keep_silent(image: np.ndarray, pair: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop the candidates in which the latent fires after all, and keep a third of the slots."""
    keep = (image >= 0) & (length == 0)
    order = np.argsort(~keep, axis=1, kind="stable")[:, : image.shape[1] // 3]
    image = np.take_along_axis(np.where(keep, image, -1), order, 1)
    return image, np.take_along_axis(pair, order, 1), np.zeros_like(image)
