"""Factor recovery on scenes: which ground-truth factors does a single latent of a coder detect, patch by patch?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.data.scenes import Scene, Scenes, patch_factors
from vitreous.errors import BadInputError
from vitreous.metrics import factor_recovery, linear_probes, pca_directions, random_directions
from vitreous.training.extract import last_layer
from vitreous.training.progress import Advance, Progress, track

READABLE = 0.9
"""AUROC of the linear probe from which a factor counts as present in the activation."""

NOISE = 0x7E57
"""Seeds of the scenes used here are `NOISE` and `NOISE + 1`: no recipe trains on them."""


@dataclass(frozen=True)
class FactorTable:
    """F1 and AUROC per factor and method on test scenes; `probe` is the ceiling.

    Attributes:
        factors: names such as `colour=red`.
        base_rate: fraction of test patches in which each factor is true.
        f1: method -> per factor; methods are `sae`, `neurons`, `random`, `pca` and `probe`.
        auroc: the same for the area under the ROC curve, of the unit chosen by AUROC.
        unit: the latent that was chosen for each factor (by F1).
        n_units: method -> how many units it could choose from.
    """

    factors: tuple[str, ...]
    base_rate: tuple[float, ...]
    f1: dict[str, tuple[float, ...]]
    auroc: dict[str, tuple[float, ...]]
    unit: tuple[int, ...]
    n_units: dict[str, int]

    @property
    def readable(self) -> tuple[int, ...]:
        """Indices of the factors that the linear probe reads with AUROC >= `READABLE`."""
        return tuple(i for i, a in enumerate(self.auroc["probe"]) if a >= READABLE)

    def mean(self, score: str, method: str) -> float:
        """Mean of `f1` or `auroc` over the readable factors; NaN if there are none."""
        values = getattr(self, score)[method]
        return float(np.mean([values[i] for i in self.readable])) if self.readable else float("nan")

    def names(self, floor: float = 0.5) -> dict[int, str]:
        """Latent -> the factors that it detects best, with at least this F1; for labels in a dashboard."""
        found: dict[int, list[str]] = {}
        for name, unit, f1 in sorted(zip(self.factors, self.unit, self.f1["sae"], strict=True), key=lambda t: -t[2]):
            if unit >= 0 and f1 >= floor:
                found.setdefault(unit, []).append(name)
        return {unit: ", ".join(names) for unit, names in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain data with the definition of each number."""
        return {
            "definition": "unit and threshold chosen on one set of scenes (best F1), scored on another; patch level",
            "factors": list(self.factors),
            "base_rate": list(self.base_rate),
            "f1": {k: list(v) for k, v in self.f1.items()},
            "auroc": {k: list(v) for k, v in self.auroc.items()},
            "latent": list(self.unit),
            "n_units": self.n_units,
            "readable": [self.factors[i] for i in self.readable],
            "mean_f1_readable": {k: self.mean("f1", k) for k in self.f1},
            "mean_auroc_readable": {k: self.mean("auroc", k) for k in self.auroc},
        }


def recover_factors(
    model: Any,
    coder: Any,
    *,
    point: str | None = None,
    n_fit: int = 300,
    n_test: int = 300,
    batch_size: int = 64,
    seed: int = 0,
    progress: Progress = False,
) -> FactorTable:
    """Score a coder's latents, and three baselines of the same number of units, as detectors of scene factors.

    The baselines: the MLP neurons of the layers up to the point (as many of the nearest layers as it takes to reach
    the number of latents), random directions, and all principal directions of the activation (of which there are only
    as many as dimensions). Dense directions may detect by high or by low values. The linear probe is the ceiling.

    Args:
        model: a hooked vision model (or the vision tower of a CLIP).
        coder: an SAE on one of the model's residual points.
        point: hook point that the coder reads; by default the one it was trained on.
        n_fit: scenes on which unit and threshold are chosen.
        n_test: scenes on which they are scored.
        batch_size: images per forward.
        seed: of the random directions.
        progress: True for a bar.

    Raises:
        BadInputError: the coder does not say its hook point and none is given, or the grid does not fit scenes.
    """
    model = getattr(model, "vision", model)
    point = point or coder.meta.get("hook_point")
    if not point:
        raise BadInputError("the coder does not say which hook point it reads; pass point=")
    point = point.removeprefix("vision.")
    neurons = _neuron_points(model, point, coder.n_latents)
    points = [point, *neurons]
    with track("scenes", n_fit + n_test, progress) as advance:
        fit, fit_truth = _activations(model, Scenes(n_fit, seed=NOISE), points, batch_size, advance)
        test, test_truth = _activations(model, Scenes(n_test, seed=NOISE + 1), points, batch_size, advance)
    occurs = fit_truth.any(0) & test_truth.any(0)
    names = tuple(n for n, there in zip(factor_names(), occurs.tolist(), strict=True) if there)
    fit_truth, test_truth = fit_truth[:, occurs], test_truth[:, occurs]
    x, y = fit[point], test[point]
    random = random_directions(x.shape[1], coder.n_latents, seed=seed)
    pca = pca_directions(x)
    units = {
        "sae": (_codes(coder, x), _codes(coder, y), False),
        "neurons": (_stacked(fit, neurons, coder.n_latents), _stacked(test, neurons, coder.n_latents), True),
        "random": (x @ random, y @ random, True),
        "pca": (x @ pca, y @ pca, True),
    }
    scores = {}
    with track("factors", len(units), progress) as advance:
        for name, (a, b, signed) in units.items():
            scores[name] = factor_recovery(a, fit_truth, b, test_truth, signed=signed)
            advance(1, name)
    probe = linear_probes(x, fit_truth, y, test_truth)
    return FactorTable(
        factors=names,
        base_rate=tuple(scores["sae"].base_rate.tolist()),
        f1={n: tuple(s.f1.tolist()) for n, s in scores.items()} | {"probe": tuple(probe.f1.tolist())},
        auroc={n: tuple(s.auroc.tolist()) for n, s in scores.items()} | {"probe": tuple(probe.auroc.tolist())},
        unit=tuple(scores["sae"].unit.tolist()),
        n_units={n: a.shape[1] for n, (a, _, _) in units.items()} | {"probe": len(names)},
    )


def factor_names() -> tuple[str, ...]:
    """All factors, in the order of `patch_factors`."""
    return tuple(patch_factors(Scenes(1, n_objects=(1, 1))[0], 8, 8))


def patch_truth(scenes: Sequence[Scene], grid: tuple[int, int]) -> Bool[np.ndarray, "scenes patches factors"]:
    """Which factor is true of which patch.

    Raises:
        BadInputError: the grid does not divide the scenes.
    """
    grids = [patch_factors(scene, *grid) for scene in scenes]
    return np.stack([np.stack([g.reshape(-1) for g in truth.values()], 1) for truth in grids])


def dashboard_factors(scenes: Sequence[Scene], grid: tuple[int, int]) -> dict[str, Bool[np.ndarray, "images r c"]]:
    """The same as one array [image, row, column] per factor, as `vitreous.dashboards.collect` takes them."""
    truth = patch_truth(scenes, grid).reshape(len(scenes), *grid, -1)
    return {name: truth[..., i] for i, name in enumerate(factor_names())}


def _neuron_points(model: Any, point: str, n: int) -> list[str]:
    layer = re.match(r"blocks\.(\d+)\.", point)
    last = int(layer[1]) if layer else model.cfg.n_layers - 1
    n_layers = min(last + 1, -(-n // model.cfg.d_mlp))
    return [f"blocks.{i}.mlp.hook_post" for i in range(last, last - n_layers, -1)]


def _activations(
    model: Any, scenes: Scenes, points: list[str], batch_size: int, advance: Advance
) -> tuple[dict[str, Float[Tensor, "rows d"]], Bool[Tensor, "rows factors"]]:
    if model.cfg.image_size != scenes.size:
        side = model.cfg.image_size if isinstance(model.cfg.image_size, int) else model.cfg.image_size[0]
        scenes = Scenes(len(scenes), scenes.seed, side, scenes.n_objects)
    patches = model.tokens.index("patch")
    rows: dict[str, list[Tensor]] = {p: [] for p in points}
    truth = []
    for start in range(0, len(scenes), batch_size):
        drawn = scenes[start : start + batch_size]
        pixels = model.preprocess([scene.image for scene in drawn])
        with torch.no_grad():
            _, cache = model.run_with_cache(pixels, names_filter=points, stop_at_layer=last_layer(points))
        for p in points:
            rows[p].append(cache[p][:, patches].flatten(0, 1).float())
        truth.append(patch_truth(drawn, model.tokens.grid).reshape(-1, len(factor_names())))
        advance(len(drawn))
    return {p: torch.cat(r) for p, r in rows.items()}, torch.from_numpy(np.concatenate(truth))


def _stacked(rows: Mapping[str, Tensor], points: list[str], n: int) -> Tensor:
    return torch.cat([rows[p] for p in points], 1)[:, :n]


@torch.no_grad()
def _codes(coder: Any, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows n"]:
    return torch.cat([coder.encode(part).dense() for part in x.split(4096)])
