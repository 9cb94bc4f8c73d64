"""Train many coders on one pass over the data; never lose a run."""

import signal
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from vitreous import __version__
from vitreous.errors import BadInputError, VitreousError
from vitreous.sae.activation import to_dict
from vitreous.sae.coder import SparseCoder
from vitreous.sae.objective import Loss
from vitreous.training.checkpoint import checkpoints, latest_checkpoint, save_checkpoint
from vitreous.training.config import TrainConfig
from vitreous.training.progress import Progress, track
from vitreous.training.record import RunLog
from vitreous.training.state import Trainee, prepare, restore, step, tensors_of, trainee

Batch = Tensor | dict[str, Tensor]


class DivergedError(VitreousError, FloatingPointError):
    """The loss became NaN or infinite."""


@runtime_checkable
class StatefulBatches(Protocol):
    """What `train` iterates over: sized, and able to say and restore where it is."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Any: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Trained:
    """The outcome of `train`.

    Attributes:
        coders: the same objects that went in, trained.
        steps: steps done in all, those before a resume included.
        resumed_at: the step that this call started from.
        rows: the log, one dict per coder and logging step.
    """

    coders: dict[str, SparseCoder]
    steps: int
    resumed_at: int
    rows: list[dict[str, Any]]


def train(
    coders: Mapping[str, SparseCoder] | SparseCoder,
    batches: StatefulBatches | Iterable[Tensor],
    config: TrainConfig = TrainConfig(),  # noqa: B008  (frozen record)
    *,
    out: str | Path | None = None,
    progress: Progress = False,
    wandb: dict[str, Any] | None = None,
) -> Trained:
    """Train coders together, each with its own optimiser, on the same batches.

    With `out`, the run writes checkpoints, ``metrics.csv`` and at the end one folder per coder, and calling it again
    with the same arguments continues after the newest whole checkpoint. The final weights are bit for bit those of an
    undisturbed run (same machine, same number of threads). SIGTERM makes a checkpoint and exits with status 0.

    Args:
        coders: by name; trained in place. ``meta["hook_point"]`` (and ``"hook_point_out"``) say what each one reads.
        batches: `Batches`, `Stream`, or a list of row tensors.
        config: settings.
        out: folder of the run; None keeps nothing on disk.
        progress: True for a bar, or a callable (finished steps, total).
        wandb: arguments of ``wandb.init``, e.g. ``{"project": "p", "mode": "offline"}``; None leaves W&B alone.

    Raises:
        DivergedError: the loss is NaN or infinite; names the step and the last good checkpoint.
        BadInputError: `out` holds a run with other settings, or a coder and the batches do not fit.
        StoreError: a checkpoint cannot be written.
    """
    named = {"coder": coders} if isinstance(coders, SparseCoder) else dict(coders)
    if not named or any("/" in name or name.startswith(".") or name == "checkpoints" for name in named):
        raise BadInputError(f"coders need names that can be folders, got {list(named)}")
    data = batches if hasattr(batches, "load_state") else _Fixed(list(batches))
    steps = min(len(data), config.steps or len(data))  # type: ignore[arg-type]
    folder = None if out is None else Path(out)
    run = _Run(named, data, config, steps, folder)  # type: ignore[arg-type]
    start = run.resume()
    log = RunLog(folder, start, {"config": asdict(config), "coders": run.identity["coders"]}, wandb)
    try:
        with _on_sigterm() as asked, track("train", steps, progress, start) as advance:
            run.loop(start, log, asked, advance)
    finally:
        log.close()
    for name, coder in named.items():
        coder.meta |= {"version": __version__, "training": run.identity["config"] | {"steps": run.steps}}
        if folder is not None:
            coder.save(folder / name)
    return Trained(named, run.steps, start, log.rows)


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self, coders: dict[str, SparseCoder], data: StatefulBatches, config: TrainConfig, steps: int, out: Path | None
    ) -> None:
        self.trainees: dict[str, Trainee] = {name: trainee(coder, config) for name, coder in coders.items()}
        self.data, self.config, self.steps = data, config, steps
        self.folder = None if out is None else out / "checkpoints"
        self.identity = {"config": _plain(asdict(config)), "steps": steps, "coders": _describe(coders)}

    def resume(self) -> int:
        """Load the newest whole checkpoint, if there is one, and return its step."""
        found = None if self.folder is None else latest_checkpoint(self.folder)
        if found is None:
            return 0
        tensors, state = found
        differing = [key for key in self.identity if state["identity"].get(key) != self.identity[key]]
        if differing:
            raise BadInputError(f"{self.folder} belongs to a run with other {differing}; choose another folder")
        self.data.load_state(state["batches"])
        for name, it in self.trainees.items():
            restore(it, name, tensors)
        return int(state["step"])

    def loop(self, start: int, log: RunLog, asked: threading.Event, advance: Any) -> None:
        """All remaining steps."""
        began, source, done = time.perf_counter(), iter(self.data), start
        while done < self.steps:
            batch = next(source, None)
            if batch is None:  # the data ended early: a stream with unreadable images
                self.steps = done
                break
            if done == 0:
                for it in self.trainees.values():
                    prepare(it, batch, self.config)
            results = {name: step(it, batch, done, self.steps, self.config) for name, it in self.trainees.items()}
            self._stop_if_diverged(done, results)
            done += 1
            if done % self.config.log_every == 0 or done == self.steps:
                seconds = round(time.perf_counter() - began, 3)
                log.add({name: self._row(name, done, loss, seconds) for name, loss in results.items()})
            advance(1, f"fvu {next(iter(results.values())).reconstruction.item():.3f}")
            if asked.is_set() or (done % self.config.checkpoint_every == 0 and done < self.steps):
                self.checkpoint(done)
            if asked.is_set():
                raise SystemExit(0)
        if done > start:
            self.checkpoint(done)

    def checkpoint(self, done: int) -> None:
        """Save everything that a continuation needs."""
        if self.folder is None:
            return
        tensors: dict[str, Tensor] = {}
        for name, it in self.trainees.items():
            tensors |= tensors_of(it, name)
        state = {"identity": self.identity, "batches": self.data.state()}
        save_checkpoint(self.folder, done, tensors, state, self.config.keep)

    def _row(self, name: str, done: int, loss: Loss, seconds: float) -> dict[str, Any]:
        it = self.trainees[name]
        return {
            "step": done,
            "loss": loss.total.item(),
            "fvu": loss.reconstruction.item(),
            "auxiliary": loss.auxiliary.item(),
            "l0": loss.codes.l0().mean().item(),
            "dead": (it.idle >= self.config.dead_after).float().mean().item(),
            "lr": it.optimiser.param_groups[0]["lr"],
            "seconds": seconds,
        }

    def _stop_if_diverged(self, number: int, results: dict[str, Loss]) -> None:
        bad = [name for name, loss in results.items() if not torch.isfinite(loss.total)]
        if bad:
            kept = checkpoints(self.folder) if self.folder is not None else []
            last = f"the last good checkpoint is {kept[0]}" if kept else "there is no checkpoint"
            raise DivergedError(f"the loss of {', '.join(bad)} is not finite in step {number + 1}; {last}")


class _Fixed:
    """A list of tensors as batches with a state."""

    def __init__(self, batches: list[Tensor]) -> None:
        self.batches, self.position = batches, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        while self.position < len(self.batches):
            self.position += 1
            yield self.batches[self.position - 1]

    def state(self) -> dict[str, Any]:
        return {"kind": "list", "position": self.position}

    def load_state(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


@contextmanager
def _on_sigterm() -> Any:
    """An event that SIGTERM sets; outside the main thread, where handlers are impossible, it stays unset."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)


def _describe(coders: dict[str, SparseCoder]) -> dict[str, Any]:
    return {
        name: {
            "d_in": c.d_in,
            "n_latents": c.n_latents,
            "d_out": c.d_out,
            "activation": to_dict(c.activation),
            "normalisation": c.normalisation.kind,
            "pre_bias": c.pre_bias,
        }
        for name, c in coders.items()
    }


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}
