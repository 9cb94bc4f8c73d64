"""Judge a coder: on stored activations, and by what the model still does when the reconstruction takes their place."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitreous.errors import BadInputError
from vitreous.metrics import accuracy, cross_entropy, dead_fraction, fire_counts, recovered
from vitreous.sae.coder import SparseCoder
from vitreous.training.progress import Progress, track
from vitreous.training.source import Source, chunks
from vitreous.training.store import ActivationStore

Replace = Callable[[Tensor], Tensor]


@torch.no_grad()
def reconstruction_report(
    coder: SparseCoder,
    store: ActivationStore,
    rows: Int[Tensor, " n"] | None = None,
    *,
    batch_size: int = 4096,
) -> dict[str, Any]:
    """L0, FVU, cosine, dead fraction and densities of a coder on stored rows.

    FVU is pooled over all rows, around the mean row of *all* of them (`vitreous.metrics.fvu` of one huge batch);
    cosine is the mean over rows. A latent is dead if it fires on none of these rows.

    Args:
        coder: its ``meta["hook_point"]`` (and ``"hook_point_out"``) name the points; the store's only point otherwise.
        store: activations that the coder was not trained on, ideally.
        rows: use only these rows.
        batch_size: rows that are encoded at a time.

    Returns:
        ``l0``, ``fvu``, ``cosine``, ``dead``, ``n_rows`` and ``density`` (a tensor, one entry per latent).
    """
    source, target = _points_of(coder, store)
    total = store.n_rows if rows is None else len(rows)
    counts = torch.zeros(coder.n_latents, dtype=torch.int64)
    squares, sums, error, cosines = 0.0, torch.zeros(coder.d_out, dtype=torch.float64), 0.0, 0.0
    for start in range(0, total, batch_size):
        part = torch.arange(start, min(start + batch_size, total)) if rows is None else rows[start : start + batch_size]
        x = store.take(source, part).float().to(coder.W_enc.device)
        y = x if target == source else store.take(target, part).float().to(x.device)
        codes = coder.encode(x)
        y_hat = coder.decode(codes)
        counts += fire_counts(codes.values.cpu(), codes.indices.cpu(), coder.n_latents)
        squares += y.double().square().sum().item()
        sums += y.double().sum(0).cpu()
        error += (y - y_hat).double().square().sum().item()
        cosines += torch.cosine_similarity(y.double(), y_hat.double(), dim=1).sum().item()
    variance = squares - sums.square().sum().item() / total
    density = counts.double() / total
    return {
        "l0": counts.sum().item() / total,
        "fvu": error / variance if variance > 0 else float("nan"),
        "cosine": cosines / total,
        "dead": dead_fraction(density).item(),
        "n_rows": total,
        "density": density,
    }


@torch.no_grad()
def downstream_report(
    model: Any,
    coder: SparseCoder,
    items: Sequence[Any],
    prompts: dict[str, Any],
    *,
    mean: Float[Tensor, " d"],
    point: str | None = None,
    tokens: str = "patch",
    batch_size: int = 64,
    progress: Progress = False,
) -> dict[str, float]:
    """Zero-shot accuracy and cross-entropy when a coder's reconstruction replaces the activation.

    Logits carry the model's own logit scale. The same positions are replaced by zeros and by the mean activation for
    comparison: zero ablation is by far the weaker baseline. ``recovered`` is 1 where the reconstruction is as good as
    the activation itself, 0 where it is only as good as the ablation, NaN where ablation changes nothing.

    Args:
        model: a hooked CLIP.
        coder: an SAE of `point` of the vision tower; a transcoder's prediction replaces its ``meta["hook_point_out"]``.
        items: labelled images; those without a label among the prompts are left out.
        prompts: label -> prompt or prompts.
        mean: mean activation of the replaced positions, e.g. of the training rows.
        point: hook point of the vision tower; ``coder.meta["hook_point"]`` by default.
        tokens: which positions to replace.
        batch_size: images per forward pass.
        progress: True for a bar.

    Raises:
        BadInputError: no image has a label among the prompts, or no point is known.
    """
    point = point or coder.meta.get("hook_point")
    if point is None:
        raise BadInputError("say which point the coder reads: point='blocks.5.hook_resid_post'")
    written = coder.meta.get("hook_point_out", point) if coder.is_transcoder else point
    positions = torch.as_tensor(model.vision.tokens.index(tokens)).long()
    classes, names = model.zero_shot(prompts), list(prompts)
    latest: dict[str, Tensor] = {}
    ways: dict[str, Replace | None] = {
        "clean": None,
        "reconstruction": lambda x: coder(latest["x"] if coder.is_transcoder else x),
        "zero": torch.zeros_like,
        "mean": lambda x: mean.to(x).expand_as(x),
    }
    logits: dict[str, list[Tensor]] = {way: [] for way in ways}
    labels: list[Tensor] = []
    with track("downstream", len(items), progress) as advance:
        for pixels, label in _labelled(model, items, names, batch_size, advance):
            labels.append(label)
            for way, replace in ways.items():
                hooks: list[tuple[str, Callable[..., Any]]] = []
                if replace is not None and coder.is_transcoder:
                    hooks.append((f"vision.{point}", _reader(latest, positions)))
                if replace is not None:
                    hooks.append((f"vision.{written}", _editor(replace, positions)))
                with model.hooks(fwd_hooks=hooks):
                    logits[way].append(model.logits(pixels, classes).cpu())
    if not labels:
        raise BadInputError(f"none of the images has a label among {names[:8]}")
    return _summary({way: torch.cat(parts) for way, parts in logits.items()}, torch.cat(labels))


def _summary(logits: dict[str, Tensor], labels: Tensor) -> dict[str, float]:
    report = {"n_images": float(len(labels))}
    for way, values in logits.items():
        report[f"accuracy_{way}"] = accuracy(values, labels).item()
        report[f"cross_entropy_{way}"] = cross_entropy(values, labels).item()
    for quantity in ("accuracy", "cross_entropy"):
        for baseline in ("zero", "mean"):
            clean, spliced = report[f"{quantity}_clean"], report[f"{quantity}_reconstruction"]
            ablated = report[f"{quantity}_{baseline}"]
            report[f"{quantity}_recovered_{baseline}"] = recovered(clean, spliced, ablated)
    return report


def _editor(replace: Replace, positions: Tensor) -> Callable[..., Tensor]:
    """A forward hook that replaces the chosen positions of [batch, position, ...], trailing axes flattened."""

    def hook(value: Tensor, hook: Any = None) -> Tensor:
        chosen = value[:, positions]
        new = replace(chosen.flatten(2).flatten(0, 1).float()).to(value.dtype)
        edited = value.clone()
        edited[:, positions] = new.view_as(chosen)
        return edited

    return hook


def _reader(latest: dict[str, Tensor], positions: Tensor) -> Callable[..., None]:
    """A forward hook that keeps the chosen positions as rows."""

    def hook(value: Tensor, hook: Any = None) -> None:
        latest["x"] = value[:, positions].flatten(2).flatten(0, 1).float()

    return hook


def _labelled(
    model: Any, items: Sequence[Any], names: list[str], batch_size: int, advance: Callable[..., None]
) -> Iterator[tuple[Tensor, Tensor]]:
    number = {name: i for i, name in enumerate(names)}
    for chunk in chunks(Source(items), 0, len(items), batch_size):
        known = [item for _, item in chunk.items if item.label in number]
        if known:
            labels = torch.tensor([number[item.label] for item in known if item.label is not None])
            yield model.preprocess([item.image for item in known]), labels
        advance(len(chunk.ids))


def _points_of(coder: SparseCoder, store: ActivationStore) -> tuple[str, str]:
    source = coder.meta.get("hook_point") or (store.points[0] if len(store.points) == 1 else None)
    if source is None:
        raise BadInputError(f"the store holds {store.points}: say which with coder.meta['hook_point']")
    target = coder.meta.get("hook_point_out", source) if coder.is_transcoder else source
    return source, target
