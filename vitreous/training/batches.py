"""Batches of activation rows in an order that a seed fixes, with an exact state."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.training.store import ActivationStore

IN_MEMORY = 2 * 2**30


def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """A permutation of ``0 .. n - 1`` that depends on nothing but its arguments."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(n, generator=generator)


class Batches:
    """Every row of a store once per epoch, in a uniformly random order over the *whole* store.

    Yields ``{point: [batch_size, d]}`` in float32; the rows of different points belong together. An incomplete last
    batch is dropped (other rows are dropped in every epoch). Points of up to 2 GiB together are held in memory;
    beyond that rows are gathered from the memory-mapped shards. The order takes 8 bytes per row.
    """

    def __init__(
        self,
        store: ActivationStore,
        batch_size: int = 4096,
        *,
        seed: int = 0,
        epochs: int = 1,
        points: Sequence[str] | None = None,
        rows: Tensor | None = None,
    ) -> None:
        """Batches of a store.

        Args:
            store: where the rows are.
            batch_size: rows per batch.
            seed: fixes the order.
            epochs: passes over the data.
            points: which points to yield; all by default.
            rows: use only these rows (a training split, say); all by default.

        Raises:
            BadInputError: the store has fewer rows than one batch.
            UnknownNameError: a point is not in the store.
        """
        self.store, self.batch_size, self.seed, self.epochs = store, batch_size, seed, epochs
        self.points = list(points or store.points)
        self.rows = rows
        self.n_rows = store.n_rows if rows is None else rows.shape[0]
        self.per_epoch = self.n_rows // batch_size if batch_size > 0 else 0
        if self.per_epoch == 0 or epochs < 1:
            raise BadInputError(f"{self.n_rows} rows do not fill one batch of {batch_size} (epochs={epochs})")
        self.epoch, self.batch = 0, 0
        small = sum(store.nbytes(p) for p in self.points) <= IN_MEMORY
        self._tensors = {p: store.read(p) for p in self.points} if small else None

    def __len__(self) -> int:
        return self.epochs * self.per_epoch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Go on from the current state to the end of the last epoch."""
        while self.epoch < self.epochs:
            order = permutation(self.n_rows, self.seed, self.epoch)
            while self.batch < self.per_epoch:
                start = self.batch * self.batch_size
                self.batch += 1
                yield self._gather(order[start : start + self.batch_size])
            self.epoch, self.batch = self.epoch + 1, 0

    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on with the batch after the last one handed out."""
        return {"kind": "store", "epoch": self.epoch, "batch": self.batch, **self._identity()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
            BadInputError: the state belongs to other data, another seed or another batch size.
        """
        mine = self._identity()
        if differing := [key for key in mine if state.get(key) != mine[key]]:
            raise BadInputError(f"cannot continue: the data differ from the interrupted run's in {differing}")
        self.epoch, self.batch = state["epoch"], state["batch"]

    def _identity(self) -> dict[str, Any]:
        return {
            "content_hash": self.store.content_hash,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "n_rows": self.n_rows,
        }

    def _gather(self, rows: Tensor) -> dict[str, Tensor]:
        if self.rows is not None:
            rows = self.rows[rows]
        if self._tensors is not None:
            return {p: t.index_select(0, rows).float() for p, t in self._tensors.items()}
        return {p: self.store.take(p, rows).float() for p in self.points}
