"""A tiny duck-typed model for tests of harvesting: pixels in, two named points out."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True)
class Tokens:
    """A 3 x 3 grid behind one CLS token."""

    grid: tuple[int, int] = (3, 3)

    @property
    def n(self):
        return 1 + self.grid[0] * self.grid[1]

    @property
    def kind(self):
        return ("cls", *("patch",) * (self.n - 1))

    @property
    def row(self):
        return torch.tensor([-1, *(i // self.grid[1] for i in range(self.n - 1))])

    @property
    def col(self):
        return torch.tensor([-1, *(i % self.grid[1] for i in range(self.n - 1))])

    def index(self, which):
        positions = [i for i, kind in enumerate(self.kind) if which in ("all", kind)]
        return torch.tensor(positions, dtype=torch.long)


class StandIn(torch.nn.Module):
    """Linear patch embedding, then one tanh block."""

    name = "stand-in"

    def __init__(self, d=8, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.tokens = Tokens()
        self.embed = torch.nn.Parameter(torch.randn(48, d, generator=generator) / 7)
        self.block = torch.nn.Parameter(torch.randn(d, d, generator=generator))
        self.calls = 0

    def preprocess(self, images):
        arrays = [np.asarray(image.convert("RGB").resize((12, 12)), dtype=np.float32) / 255 for image in images]
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)

    def run_with_cache(self, pixels, names_filter=None, stop_at_layer=None):
        self.calls += 1
        patches = pixels.unfold(2, 4, 4).unfold(3, 4, 4)  # b c 3 3 4 4
        rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(len(pixels), 9, 48)
        x = torch.cat([rows.mean(1, keepdim=True), rows], dim=1) @ self.embed
        y = x + torch.tanh(x @ self.block)
        cache = {"blocks.0.hook_resid_pre": x, "blocks.0.hook_resid_post": y}
        return y, {name: cache[name] for name in names_filter}


def pictures(n, seed=0):
    """Small random RGB images."""
    generator = np.random.default_rng(seed)
    return [Image.fromarray(generator.integers(0, 255, (12, 12, 3), dtype=np.uint8)) for _ in range(n)]
