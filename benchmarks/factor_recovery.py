"""Factor recovery on scenes: TopK SAEs of several seeds against neurons, random and principal directions.

    python benchmarks/factor_recovery.py            # prints the table, writes benchmarks/results/factor_recovery.csv
    python benchmarks/factor_recovery.py --readme   # and puts it into README.md between its markers

Settings are those of `vitreous quickstart`; seeds vary the coder and the random directions. The interval is the 95%
t-interval over factors of the paired difference in F1 (SAE minus baseline), seeds averaged first.
"""

import argparse
import csv
import re
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from vitreous.commands.load import vision
from vitreous.commands.quickstart import PLANS
from vitreous.commands.train import fit
from vitreous.data.images import open_items
from vitreous.training import harvest
from vitreous.training.recovery import FactorTable, recover_factors

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("sae", "neurons", "pca", "random", "probe")
MARKS = ("<!-- factor recovery: begin -->", "<!-- factor recovery: end -->")


def tables(seeds: int, n_scenes: int) -> list[FactorTable]:
    """One table per seed, on the same activations."""
    plan, found = PLANS["scenes"], []
    model = vision(plan.model)
    with tempfile.TemporaryDirectory() as folder:
        store = harvest(model, open_items(plan.data), Path(folder) / "store", [plan.point], progress=True)
        for seed in range(seeds):
            coder = fit(
                store, None, latents=plan.latents, ks=[plan.k], epochs=plan.epochs, batch_size=1024, seed=seed
            ).coders["coder"]
            coder.meta["hook_point"] = plan.point
            found.append(recover_factors(model, coder, n_fit=n_scenes, n_test=n_scenes, seed=seed))
    return found


def averaged(found: list[FactorTable], score: str) -> dict[str, np.ndarray]:
    """Method -> score per factor, mean over seeds."""
    return {m: np.mean([getattr(t, score)[m] for t in found], axis=0) for m in METHODS}


def markdown(found: list[FactorTable]) -> str:
    """The table of the README."""
    f1, auroc, first = averaged(found, "f1"), averaged(found, "auroc"), found[0]
    read = list(first.readable)
    lines = [
        "| factor | "
        + " | ".join(f"{m} F1" for m in METHODS)
        + " | "
        + " | ".join(f"{m} AUROC" for m in METHODS)
        + " |",
        "| --- |" + " ---: |" * (2 * len(METHODS)),
    ]
    for i, name in enumerate(first.factors):
        star = "" if i in read else " *"
        cells = [f"{scores[m][i]:.2f}" for scores in (f1, auroc) for m in METHODS]
        lines.append(f"| {name}{star} | " + " | ".join(cells) + " |")
    for kind in ("colour", "texture", "size", "shape", "background"):
        rows = [i for i in read if first.factors[i].startswith(kind)]
        if rows:
            cells = [f"{scores[m][rows].mean():.2f}" for scores in (f1, auroc) for m in METHODS]
            lines.append(f"| *mean, {kind}* | " + " | ".join(cells) + " |")
    cells = [f"**{scores[m][read].mean():.3f}**" for scores in (f1, auroc) for m in METHODS]
    lines += [f"| **mean of {len(read)}** | " + " | ".join(cells) + " |", "", *differences(f1, read)]
    return "\n".join(lines)


def differences(f1: dict[str, np.ndarray], read: list[int]) -> list[str]:
    """Paired differences in F1 with their intervals."""
    said = []
    for m in ("neurons", "pca", "random"):
        d = f1["sae"][read] - f1[m][read]
        half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
        wins = int((d > 0).sum())
        said.append(f"* SAE minus {m}: {d.mean():+.3f} +- {half:.3f}, better on {wins} of {len(d)} factors")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=400, help="scenes to choose units on, and as many to score on")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    args = parser.parse_args()
    found = tables(args.seeds, args.scenes)
    text = markdown(found)
    print(text)
    out = ROOT / "benchmarks" / "results" / "factor_recovery.csv"
    out.parent.mkdir(exist_ok=True)
    with out.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["seed", "factor", "base_rate", *(f"f1_{m}" for m in METHODS), *(f"auroc_{m}" for m in METHODS)])
        for seed, t in enumerate(found):
            for i, name in enumerate(t.factors):
                scores = [f"{s[m][i]:.4f}" for s in (t.f1, t.auroc) for m in METHODS]
                rows.writerow([seed, name, f"{t.base_rate[i]:.4f}", *scores])
    if args.readme:
        readme = ROOT / "README.md"
        begin, end = MARKS
        new = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", readme.read_text(), flags=re.DOTALL)
        readme.write_text(new)


if __name__ == "__main__":
    main()
