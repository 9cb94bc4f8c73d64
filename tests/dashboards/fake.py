"""A store and a coder small enough to check by hand, with one latent that fires exactly on a drawn square."""

from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from vitreous.data.item import Item

PLANTED = 3
ROWS, COLS, CELL = 4, 5, 16  # patches and their size in pixels: not square on purpose
COLOURS = {"red": (214, 62, 48), "blue": (52, 98, 190)}


@dataclass
class Codes:
    values: torch.Tensor
    indices: torch.Tensor
    n_latents: int


class FakeCoder:
    """Top-k of `relu(x @ W_enc)`, scaled by 2 so that a heatmap made from raw products would be caught."""

    def __init__(self, d: int = 12, n_latents: int = 40, k: int = 4, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        self.n_latents, self.d_in, self.k = n_latents, d, k
        self.W_enc = torch.randn(d, n_latents, generator=generator)
        self.W_enc[0] = 0.0
        self.W_enc[:, PLANTED] = 0.0
        self.W_enc[0, PLANTED] = 1.0
        self.W_enc[:, 7] = -self.W_enc[:, 8]
        self.W_enc[:, 9] = 0.0  # dead
        self.W_dec = self.W_enc.T.clone()
        self.meta = {"model": "fake/vit", "hook_point": "blocks.1.hook_resid_post"}

    def encode(self, x: torch.Tensor) -> Codes:
        values, indices = (2 * torch.relu(x @ self.W_enc)).topk(self.k, dim=-1)
        return Codes(values, indices, self.n_latents)


@dataclass
class FakeStore:
    x: torch.Tensor
    columns: dict[str, np.ndarray]
    image_ids: list[str]
    labels: list[str | None] | None = None
    points: tuple[str, ...] = ("blocks.1.hook_resid_post",)
    meta: dict = field(default_factory=lambda: {"model": "fake/vit", "data": "squares"})
    largest_read: int = 0

    @property
    def n_rows(self) -> int:
        return len(self.x)

    def d(self, point: str) -> int:
        return self.x.shape[1]

    def read(self, point: str, start: int, stop: int) -> torch.Tensor:
        self.largest_read = max(self.largest_read, stop - start)
        return self.x[start:stop]


@dataclass
class World:
    coder: FakeCoder
    store: FakeStore
    items: list[Item]
    masks: np.ndarray  # [images, rows, cols]: patches covered by the square
    labels: list[str]


def world(n: int = 60, d: int = 12, n_latents: int = 40, seed: int = 0, cls: bool = True) -> World:
    """Images with one square each; input 0 is large exactly on its patches, all others are noise."""
    rng = np.random.default_rng(seed)
    items, masks, labels, x = [], np.zeros((n, ROWS, COLS), bool), [], []
    for i in range(n):
        height, width = rng.integers(1, 3, 2)
        top, left = rng.integers(0, ROWS - height + 1), rng.integers(0, COLS - width + 1)
        colour = list(COLOURS)[i % 2]
        masks[i, top : top + height, left : left + width] = True
        ground = np.kron(rng.integers(196, 232, (ROWS, COLS, 1)), np.ones((CELL, CELL, 3)))
        pixels = np.where(np.kron(masks[i], np.ones((CELL, CELL)))[..., None] > 0, COLOURS[colour], ground)
        name = f"image_{i:03d}.png"
        items.append(Item(Image.fromarray(pixels.astype(np.uint8)), name, colour, f"a {colour} square",
                          "drawn", "CC0-1.0"))  # fmt: skip
        labels.append(colour)
        tokens = rng.standard_normal((ROWS * COLS, d)).astype(np.float32)
        tokens[:, 0] = np.where(masks[i].ravel(), rng.uniform(6, 9, ROWS * COLS), -1.0)
        x.append(np.concatenate([rng.standard_normal((1, d)).astype(np.float32), tokens]) if cls else tokens)
    row = np.repeat(np.arange(ROWS), COLS)
    col = np.tile(np.arange(COLS), ROWS)
    head = [-1] if cls else []
    length = ROWS * COLS + len(head)
    columns = {
        "image": np.repeat(np.arange(n), length),
        "position": np.tile(np.arange(length), n),
        "kind": np.tile(np.array(["cls"] * len(head) + ["patch"] * (ROWS * COLS)), n),
        "row": np.tile(np.concatenate([head, row]).astype(int), n),
        "col": np.tile(np.concatenate([head, col]).astype(int), n),
    }
    store = FakeStore(torch.from_numpy(np.concatenate(x)), columns, [item.id for item in items], list(labels))
    return World(FakeCoder(d, n_latents, seed=seed), store, items, masks, labels)


def factors(made: World) -> dict[str, np.ndarray]:
    """The square by colour, as patch-level ground truth."""
    labels = np.array(made.labels)
    return {f"square={name}": made.masks & (labels == name)[:, None, None] for name in COLOURS}
