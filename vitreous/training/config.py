"""The settings of a training run: what is saved beside the weights and swept from the command line."""

from dataclasses import dataclass

from vitreous.errors import BadInputError


@dataclass(frozen=True)
class TrainConfig:
    """Settings that all coders of a run share.

    Attributes:
        steps: stop after this many batches; None uses all batches.
        lr: peak learning rate of Adam; None means ``2e-4 / sqrt(n_latents / 2^14)`` for each coder.
        warmup: fraction of the steps in which the rate rises linearly from 0.
        decay: fraction of the steps at the end in which it falls linearly to 0.
        betas: of Adam.
        weight_decay: decoupled (AdamW), on encoder and decoder; 0 switches it off.
        clip: largest gradient norm; None switches clipping off.
        unit_norm: keep decoder rows at norm 1 and project the gradient accordingly (SAEs only; never transcoders).
        k_aux: dead latents per row in the auxiliary loss; None means half of the output width, 0 switches it off.
        aux_weight: weight of the auxiliary loss.
        dead_after: a latent that has not fired for so many rows is dead.
        centre: where `b_dec` starts: "geometric-median", "mean" or "zero".
        log_every: steps between rows of the log.
        checkpoint_every: steps between checkpoints.
        keep: how many checkpoints to keep, at least 2 so that a damaged newest one is survivable.
    """

    steps: int | None = None
    lr: float | None = None
    warmup: float = 0.05
    decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float | None = 1.0
    unit_norm: bool = True
    k_aux: int | None = None
    aux_weight: float = 1 / 32
    dead_after: int = 1_000_000
    centre: str = "geometric-median"
    log_every: int = 20
    checkpoint_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        for name, low in [("steps", 1), ("log_every", 1), ("checkpoint_every", 1), ("dead_after", 1), ("keep", 2)]:
            value = getattr(self, name)
            if value is not None and value < low:
                raise BadInputError(f"{name}={value}: must be at least {low}")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"{name}={getattr(self, name)}: a fraction between 0 and 1")
        if self.lr is not None and not 0 < self.lr < 10:
            raise BadInputError(f"lr={self.lr}: must be between 0 and 10")


def rate(step: int, steps: int, warmup: float, decay: float) -> float:
    """The factor on the peak learning rate in step 0, 1, ... of `steps`.

    >>> [round(rate(i, 10, 0.2, 0.4), 2) for i in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    rise = (step + 1) / max(1.0, warmup * steps)
    fall = (steps - step) / max(1.0, decay * steps)
    return min(1.0, rise, fall)
