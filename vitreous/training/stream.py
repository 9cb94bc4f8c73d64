"""Batches straight from a model in the loop: the same iterator as `Batches`, without a disk."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.training.batches import permutation
from vitreous.training.extract import extract
from vitreous.training.source import Source, chunks


class Stream:
    """Activations of shuffled images, shuffled again within blocks of images.

    Images come in a random order over the whole data set; the rows of each block of `block` images are permuted
    together and cut into batches, and rows that do not fill the block's last batch are dropped. Memory: the rows of
    one block. The state is three integers: after a resume the current block is computed again, bit for bit.
    """

    def __init__(
        self,
        model: Any,
        items: Sequence[Any],
        points: Sequence[str],
        batch_size: int = 4096,
        *,
        tokens: str = "patch",
        block: int = 1024,
        images_per_forward: int = 64,
        seed: int = 0,
        epochs: int = 1,
    ) -> None:
        """A stream over a sequence of images.

        Args:
            model: a hooked model.
            items: `Item`s, PIL images or scenes.
            points: hook points to yield.
            batch_size: rows per batch.
            tokens: "patch", "cls", "register" or "all".
            block: images whose rows are shuffled together.
            images_per_forward: images per forward pass.
            seed: fixes the order.
            epochs: passes over the images.

        Raises:
            BadInputError: a block does not fill one batch.
        """
        self.model, self.items, self.points = model, items, list(points)
        self.positions = torch.as_tensor(model.tokens.index(tokens)).long()
        self.batch_size, self.seed, self.epochs = batch_size, seed, epochs
        self.block, self.images_per_forward = min(block, len(items)), images_per_forward
        self.tokens = tokens
        if batch_size < 1 or self.block * len(self.positions) < batch_size:
            raise BadInputError(
                f"a block of {self.block} images has {self.block * len(self.positions)} rows, "
                f"less than one batch of {batch_size}"
            )
        self.epoch, self.number, self.batch = 0, 0, 0

    def __len__(self) -> int:
        """Batches in all epochs if every image can be read."""
        whole, rest = divmod(len(self.items), self.block)
        per_block = self.block * len(self.positions) // self.batch_size
        return self.epochs * (whole * per_block + rest * len(self.positions) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Go on from the current state to the end of the last epoch."""
        n_blocks = -(-len(self.items) // self.block)
        while self.epoch < self.epochs:
            images = permutation(len(self.items), self.seed, self.epoch)
            while self.number < n_blocks:
                rows = self._rows(images[self.number * self.block : (self.number + 1) * self.block])
                n_rows = next(iter(rows.values())).shape[0] if rows else 0
                order = permutation(n_rows, self.seed + 1, self.epoch * n_blocks + self.number)
                while (self.batch + 1) * self.batch_size <= n_rows:
                    chosen = order[self.batch * self.batch_size : (self.batch + 1) * self.batch_size]
                    self.batch += 1
                    yield {point: value.index_select(0, chosen) for point, value in rows.items()}
                self.number, self.batch = self.number + 1, 0
            self.epoch, self.number = self.epoch + 1, 0

    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on with the batch after the last one handed out."""
        return {"kind": "stream", "at": [self.epoch, self.number, self.batch], **self._identity()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
            BadInputError: the state belongs to another stream.
        """
        mine = self._identity()
        if differing := [key for key in mine if state.get(key) != mine[key]]:
            raise BadInputError(f"cannot continue: the stream differs from the interrupted run's in {differing}")
        self.epoch, self.number, self.batch = state["at"]

    def _identity(self) -> dict[str, Any]:
        return {
            "model": str(getattr(self.model, "name", "")),
            "n_items": len(self.items),
            "points": self.points,
            "tokens": self.tokens,
            "block": self.block,
            "images_per_forward": self.images_per_forward,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def _rows(self, images: Tensor) -> dict[str, Tensor]:
        picked = Source(_Picked(self.items, images.tolist()))
        parts = []
        for chunk in chunks(picked, 0, len(images), self.images_per_forward):
            rows = extract(self.model, chunk, self.points, self.positions, torch.float32)
            parts += [rows] if rows else []
        return {point: torch.cat([part[point] for part in parts]) for point in self.points} if parts else {}


class _Picked(Sequence):
    """Chosen items of a sequence, read when asked for."""

    def __init__(self, items: Sequence[Any], chosen: list[int]) -> None:
        self.items, self.chosen = items, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: Any) -> Any:
        return self.items[self.chosen[index]]
