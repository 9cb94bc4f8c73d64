"""Statistics of all latents at once that are updated batch by batch and never grow: top-k, sample, histogram, sums."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_LOW = 2**32 - 1  # the low half of a key holds _LOW - image, so that ties go to the earlier image


class RunningTop:
    """The k images with the highest score for every latent; equal scores go to the earlier image.

    Score and image index share one int64 key (the bits of a positive float32 sort like the float), so one `topk`
    per batch keeps all latents up to date and the result does not depend on how the images were batched.
    """

    def __init__(self, n_latents: int, k: int):
        self.key = torch.full((n_latents, k), -1, dtype=torch.int64)
        self.peak = torch.zeros(n_latents, k)

    def add(self, rank: Int[Tensor, "b latents"], peak: Float[Tensor, "b latents"], image: Int[Tensor, "b"]) -> None:
        """Offer a batch of images.

        Args:
            rank: what to rank by, in [0, 2**31); 0 is never kept.
            peak: the activation to remember with it.
            image: image indices, below 2**32 - 1.
        """
        key = torch.where(rank > 0, (rank.long() << 32) | (_LOW - image.long())[:, None], -1)
        best = torch.cat([self.key, key.T], dim=1).topk(self.key.shape[1], dim=1)
        self.key = best.values
        self.peak = torch.cat([self.peak, peak.T], dim=1).gather(1, best.indices)

    @property
    def image(self) -> Int[Tensor, "latents k"]:
        """Image indices, best first; -1 where there are fewer than k."""
        return torch.where(self.key >= 0, _LOW - (self.key & _LOW), -1)


def rank_by_value(peak: Float[Tensor, "b latents"]) -> Int[Tensor, "b latents"]:
    """Non-negative floats as integers of the same order."""
    return peak.float().contiguous().view(torch.int32).long()


def rank_at_random(fires: Bool[Tensor, "b latents"], image: Int[Tensor, "b"], seed: int) -> Int[Tensor, "b latents"]:
    """A hash of (seed, image, latent) where the latent fires, else 0: ranking by it draws a uniform sample."""
    latent = torch.arange(fires.shape[1])
    mixed = image.long()[:, None] * 0x1E3779B97F4A7C15 + latent[None] * 0x42B2AE3D27D4EB4F + seed * 0x165667B19E3779F9
    for shift, factor in ((29, 0x3F58476D1CE4E5B9), (31, 0x14D049BB133111EB), (32, 1)):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return torch.where(fires, (mixed & 0x7FFFFFFF).clamp_min(1), 0)


class RunningHistogram:
    """Histograms over `[0, top]` with `bins` equal bins, where `top` is the power of two at or above the maximum.

    When a larger value arrives `top` doubles and neighbouring bins merge, so the counts are those that one pass with
    the final range would have given.
    """

    def __init__(self, n_latents: int, bins: int):
        assert bins % 2 == 0
        self.counts = torch.zeros(n_latents, bins, dtype=torch.int64)
        self.top = torch.zeros(n_latents)

    def add(self, latent: Int[Tensor, "entries"], value: Float[Tensor, "entries"]) -> None:
        """Count positive values."""
        bins = self.counts.shape[1]
        need = torch.zeros_like(self.top).scatter_reduce_(0, latent, value, "amax")
        need = torch.where(need > 0, torch.exp2(torch.ceil(torch.log2(need))), 0.0)
        self.top = torch.where(self.top == 0, need, self.top)
        while (grow := torch.nonzero(need > self.top)[:, 0]).numel():
            half = self.counts[grow].view(-1, bins // 2, 2).sum(-1)
            self.counts[grow] = torch.cat([half, torch.zeros_like(half)], dim=1)
            self.top[grow] *= 2
        place = (value / self.top[latent] * bins).long().clamp_max(bins - 1)
        self.counts.view(-1).index_add_(0, latent * bins + place, torch.ones_like(latent))
