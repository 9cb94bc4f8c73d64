"""The running statistics of all latents, updated with one batch of images at a time."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vitreous.dashboards.record import Column, Enrichment, Histogram, Neighbours
from vitreous.dashboards.running import RunningHistogram, RunningTop, rank_at_random, rank_by_value
from vitreous.dashboards.source import Batch, Rows
from vitreous.errors import BadInputError

BINS = 64
PANEL = 256  # random images on which it is remembered which latents stay silent
DENSE = 0.1  # share of tokens from which a latent is flagged as dense


class Tally:
    """What `collect` keeps while it reads the store; see there for the arguments."""

    def __init__(
        self,
        n_latents: int,
        rows: Rows,
        n_images: int,
        labels: Sequence[str | None] | None,
        factors: Mapping[str, np.ndarray] | None,
        top: int,
        sample: int,
        seed: int,
    ):
        self.n_latents, self.rows, self.seed = n_latents, rows, seed
        self.n_tokens = self.n_active = 0
        self.tokens = torch.zeros(n_latents, dtype=torch.int64)
        self.images = torch.zeros(n_latents, dtype=torch.int64)
        self.total = torch.zeros(n_latents, dtype=torch.float64)
        self.peak = torch.zeros(n_latents)
        self.position = torch.zeros(n_latents, rows.n_cells)
        self.fires_at = torch.zeros(n_latents, rows.n_cells, dtype=torch.int64)
        self.cell_tokens = torch.zeros(rows.n_cells, dtype=torch.int64)
        self.histogram = RunningHistogram(n_latents, BINS)
        self.top = RunningTop(n_latents, top)
        self.sample = RunningTop(n_latents, sample)
        rng = np.random.default_rng(seed)
        self.panel = np.sort(rng.permutation(rows.images)[:PANEL])
        self.panel_fires = np.zeros((len(self.panel), n_latents), bool)
        self._set_classes(labels, n_images)
        self._set_factors(factors, n_images)

    def _set_classes(self, labels: Sequence[str | None] | None, n_images: int) -> None:
        if labels is not None and len(labels) != n_images:
            raise BadInputError(f"{len(labels)} labels for {n_images} images: one per image of the store is needed")
        known = sorted({str(v) for v in labels or () if v is not None})
        place = {name: i for i, name in enumerate(known)}
        self.class_names = tuple(known) if len(known) > 1 else ()
        self.class_of = torch.tensor([place.get(str(v), -1) if v is not None else -1 for v in labels or ()])
        self.class_joint = torch.zeros(len(self.class_names), self.n_latents, dtype=torch.int64)

    def _set_factors(self, factors: Mapping[str, np.ndarray] | None, n_images: int) -> None:
        shape = (n_images, *self.rows.grid)
        for name, where in (factors or {}).items():
            if np.shape(where) != shape:
                raise BadInputError(f"factor {name!r} has shape {np.shape(where)}; {shape} is needed")
        self.factor_names = tuple(factors or ())
        stacked = np.stack([np.asarray(factors[n], bool) for n in self.factor_names], -1) if factors else None
        self.factor_at = None
        if stacked is not None:
            self.factor_at = torch.from_numpy(rearrange(stacked, "i r c f -> i (r c) f"))
        self.factor_joint = torch.zeros(self.n_latents, len(self.factor_names), dtype=torch.int64)
        self.factor_active = torch.zeros(self.n_latents, dtype=torch.int64)

    def add(self, batch: Batch) -> None:
        """Count one batch of whole images."""
        one = torch.ones_like(batch.latent)
        place = batch.latent * self.rows.n_cells + batch.cell
        self.n_tokens += batch.tokens
        self.n_active += len(batch.latent)
        self.tokens.index_add_(0, batch.latent, one)
        self.total.index_add_(0, batch.latent, batch.value.double())
        self.position.view(-1).index_add_(0, place, batch.value)
        self.fires_at.view(-1).index_add_(0, place, one)
        self.histogram.add(batch.latent, batch.value)
        peaks = batch.peaks(self.n_latents)
        fires = peaks > 0
        self.images += fires.sum(0)
        self.peak = torch.maximum(self.peak, peaks.amax(0))
        self.top.add(rank_by_value(peaks), peaks, batch.images)
        self.sample.add(rank_at_random(fires, batch.images, self.seed), peaks, batch.images)
        where = np.searchsorted(self.panel, batch.images.numpy()).clip(max=len(self.panel) - 1)
        in_panel = self.panel[where] == batch.images.numpy()
        self.panel_fires[where[in_panel]] = fires.numpy()[in_panel]
        if self.class_names:
            label = self.class_of[batch.images]
            self.class_joint.index_add_(0, label[label >= 0], fires[label >= 0].long())
        if self.factor_at is not None:
            self._add_factors(batch)

    def _add_factors(self, batch: Batch) -> None:
        patch = batch.cell < self.rows.n_patches
        latent, cell = batch.latent[patch], batch.cell[patch]
        self.factor_active.index_add_(0, latent, torch.ones_like(latent))
        assert self.factor_at is not None
        holds = self.factor_at[batch.images[batch.slot[patch]], cell]
        entry, factor = torch.nonzero(holds, as_tuple=True)
        place = latent[entry] * len(self.factor_names) + factor
        self.factor_joint.view(-1).index_add_(0, place, torch.ones_like(place))

    @property
    def n_images(self) -> int:
        return len(self.rows.images)

    def enrichments(self) -> tuple[Enrichment, ...]:
        """The factor table, then the class table, of those that were given."""
        tables = []
        seen = torch.from_numpy(self.rows.images)
        if self.factor_at is not None:
            at = self.factor_at[seen]
            tables.append(
                Enrichment(
                    "factor", "patch", self.factor_names, at.shape[0] * at.shape[1],
                    _ints(at.sum((0, 1))), _ints(self.factor_active), _ints(self.factor_joint),
                )
            )  # fmt: skip
        if self.class_names:
            label = self.class_of[seen]
            present = torch.bincount(label[label >= 0], minlength=len(self.class_names))
            tables.append(
                Enrichment(
                    "class", "image", self.class_names, int((label >= 0).sum()),
                    _ints(present), _ints(self.class_joint.sum(0)), _ints(self.class_joint.T),
                )
            )  # fmt: skip
        return tuple(tables)

    def histogram_record(self) -> Histogram:
        """The histograms, with the tokens on which each latent is silent counted apart."""
        return Histogram(self.histogram.top.numpy(), _ints(self.histogram.counts), _ints(self.n_tokens - self.tokens))

    def mean_position(self) -> np.ndarray:
        """Mean activation per cell over all images."""
        return (self.position / max(self.n_images, 1)).numpy()

    def columns(self, near: Sequence[Neighbours]) -> tuple[Column, ...]:
        """The statistics that need no labels."""
        density = (self.tokens.double() / self.n_tokens).float().numpy()
        frequency = (self.images.double() / self.n_images).float().numpy()
        mean = torch.where(self.tokens > 0, self.total / self.tokens.clamp_min(1), torch.nan).float().numpy()
        state = np.where(density == 0, 0, np.where(density > DENSE, 2, 1)).astype(np.int32)
        peak = np.where(density > 0, self.peak.numpy(), np.nan).astype(np.float32)
        out = [
            Column("density", "Density", "Share of tokens on which the latent fires.", density, "share", "log"),
            Column("frequency", "Images", "Share of images in which it fires anywhere.", frequency, "share", "log"),
            Column("mean", "Mean", "Mean activation where it fires.", mean),
            Column("max", "Max", "Largest activation.", peak),
            Column("extent", "Extent", "Share of an image's tokens that fire, in images where it fires at all.",
                   _ratio(self.tokens * self.n_images, self.images * self.n_tokens), "share"),
            Column("spread", "Position", "Evenness of where in the image it fires: 0 always the same cell, 1 anywhere.",
                   _evenness(self.fires_at[:, : self.rows.n_patches])),
            Column("state", "State", f"Dead: never fires. Dense: fires on more than {DENSE:.0%} of tokens.",
                   state, "category", names=("dead", "active", "dense")),
        ]  # fmt: skip
        if self.rows.extra and self.rows.n_patches:
            share = _ratio(self.fires_at[:, self.rows.n_patches :].sum(1), self.tokens)
            names = ", ".join(self.rows.extra)
            out.append(Column("elsewhere", "Off-grid", f"Share of its activations on {names}.", share, "share"))
        if near:
            about = "Cosine of the nearest other decoder direction; near 1 means a duplicate."
            out.append(Column("twin", "Nearest", about, near[0].score[:, 0].astype(np.float32)))
        return tuple(out)


def _ints(x: Tensor) -> np.ndarray:
    return x.numpy().astype(np.int64)


def _ratio(a: Tensor, b: Tensor) -> np.ndarray:
    """a / b, NaN where b is 0."""
    return torch.where(b > 0, a.double() / b.clamp_min(1), torch.nan).float().numpy()


def _evenness(counts: Tensor) -> np.ndarray:
    """Entropy of the distribution over cells divided by its maximum; NaN without counts."""
    p = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
    entropy = torch.special.entr(p).sum(1) / np.log(max(counts.shape[1], 2))
    return torch.where(counts.sum(1) > 0, entropy, torch.nan).float().numpy()
