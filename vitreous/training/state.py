"""Everything that one coder carries through training: weights, Adam's moments and firing statistics."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.sae.coder import SparseCoder
from vitreous.sae.codes import Codes
from vitreous.sae.initialise import start_from_data
from vitreous.sae.objective import Loss, loss, project_decoder_gradient, unit_norm_decoder
from vitreous.training.config import TrainConfig, rate


@dataclass
class Trainee:
    """A coder in training.

    Attributes:
        coder: trained in place.
        optimiser: Adam over its parameters.
        idle: rows since each latent last fired.
        source: hook point that it reads.
        target: hook point that it predicts; None for an SAE.
    """

    coder: SparseCoder
    optimiser: torch.optim.Optimizer
    idle: Tensor
    source: str | None
    target: str | None

    def rows(self, batch: Tensor | dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The coder's inputs and targets in a batch, on its device."""
        device = self.coder.W_enc.device
        if isinstance(batch, Tensor):
            return batch.to(device, torch.float32), None
        for point in (self.source, self.target):
            if point is not None and point not in batch:
                raise BadInputError(f"a coder needs {point!r}, but the batches hold {sorted(batch)}")
        if self.source is None and len(batch) > 1:
            raise BadInputError(f"the batches hold {sorted(batch)}: say which with meta={{'hook_point': ...}}")
        x = batch[self.source] if self.source is not None else next(iter(batch.values()))
        y = None if self.target is None else batch[self.target].to(device, torch.float32)
        return x.to(device, torch.float32), y


def trainee(coder: SparseCoder, config: TrainConfig) -> Trainee:
    """A coder with a fresh optimiser."""
    decayed = [coder.W_enc, coder.W_dec]
    rest = [p for p in coder.parameters() if all(p is not q for q in decayed)]
    peak = config.lr if config.lr is not None else 2e-4 / math.sqrt(coder.n_latents / 2**14)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=peak, betas=config.betas, fused=True)
    for group in optimiser.param_groups:
        group["peak"] = peak
    idle = torch.zeros(coder.n_latents, dtype=torch.int64, device=coder.W_enc.device)
    return Trainee(coder, optimiser, idle, coder.meta.get("hook_point"), coder.meta.get("hook_point_out"))


def prepare(it: Trainee, batch: Tensor | dict[str, Tensor], config: TrainConfig) -> None:
    """Set normalisation constants and the decoder bias from the first batch."""
    x, y = it.rows(batch)
    if y is None and it.coder.is_transcoder:
        raise BadInputError("a transcoder needs meta['hook_point_out'] and batches that hold that point")
    start_from_data(it.coder, x, y, config.centre)


def step(it: Trainee, batch: Tensor | dict[str, Tensor], number: int, steps: int, config: TrainConfig) -> Loss:
    """Forward, backward, project, clip, Adam, renormalise, and count which latents fired.

    Args:
        it: the coder in training.
        batch: rows.
        number: index of this step, from 0.
        steps: length of the run.
        config: settings.
    """
    coder = it.coder
    x, y = it.rows(batch)
    k_aux = coder.d_out // 2 if config.k_aux is None else config.k_aux
    dead = (it.idle >= config.dead_after).nonzero()[:, 0] if k_aux else None
    result = loss(coder, x, y, dead=dead, k_aux=k_aux, aux_weight=config.aux_weight)
    it.optimiser.zero_grad(set_to_none=True)
    if not math.isfinite(result.total.item()):
        return result
    result.total.backward()
    constrained = config.unit_norm and not coder.is_transcoder
    if constrained:
        project_decoder_gradient(coder)
    if config.clip is not None:
        torch.nn.utils.clip_grad_norm_(coder.parameters(), config.clip)
    for group in it.optimiser.param_groups:
        group["lr"] = group["peak"] * rate(number, steps, config.warmup, config.decay)
    it.optimiser.step()
    if constrained:
        unit_norm_decoder(coder)
    count_idle(it.idle, result.codes)
    return result


@torch.no_grad()
def count_idle(idle: Tensor, codes: Codes) -> None:
    """Add the batch's rows to the counters and reset those of the latents that fired, in place."""
    fired = torch.zeros_like(idle).index_add_(0, codes.indices.flatten(), (codes.values > 0).flatten().to(idle.dtype))
    idle.add_(codes.values.shape[0]).masked_fill_(fired > 0, 0)


def tensors_of(it: Trainee, name: str) -> dict[str, Tensor]:
    """All tensors that a checkpoint must hold, under names that begin with the coder's."""
    tensors = {f"{name}/coder/{key}": value for key, value in it.coder.state_dict().items()}
    tensors[f"{name}/idle"] = it.idle
    for key, parameter in it.coder.named_parameters():
        for moment, value in it.optimiser.state.get(parameter, {}).items():
            tensors[f"{name}/adam/{key}/{moment}"] = value
    return tensors


@torch.no_grad()
def restore(it: Trainee, name: str, tensors: dict[str, Tensor]) -> None:
    """Put a checkpoint's tensors back, bit for bit, keeping every tensor's memory layout.

    Raises:
        BadInputError: the checkpoint was made for a coder with other tensors.
    """
    wanted = {f"{name}/coder/{key}": value for key, value in it.coder.state_dict().items()}
    for key, value in {**wanted, f"{name}/idle": it.idle}.items():
        if key not in tensors or tensors[key].shape != value.shape:
            raise BadInputError(f"the checkpoint does not fit the coder {name!r}: {key} is missing or of another shape")
        value.copy_(tensors[key])
    for key, parameter in it.coder.named_parameters():
        prefix = f"{name}/adam/{key}/"
        moments = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        state = {}
        for moment, value in moments.items():
            like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
            state[moment] = like.to(value.dtype).copy_(value)
        if state:
            it.optimiser.state[parameter] = state
