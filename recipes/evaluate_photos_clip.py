"""Measure `vitreous/photos-clip` on the held-out photographs, and write its model card.

python recipes/evaluate_photos_clip.py [MODEL] --data FOLDER [--card]
"""

import argparse
import json
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from train_photos_clip import BATCH, PACKS, STEPS, TEMPLATES, photographs

from vitreous.hooked import HookedCLIP

CARD = """---
license: mit
library_name: transformers
tags: [clip, photographs, interpretability]
---

# vitreous/photos-clip

A small CLIP ({size:.1f} MB in float16; 64 px, patch 8, 6 layers of width 192) trained on {n_train:,}
photographs with class names as text, to have a model of real pictures that needs no download. It is what
`recipes/train_photos_clip.py` makes ({steps:,} steps of {batch}, stopped
while the rate was still high and the curve below still rising); its vision tower starts from `vitreous/scenes-clip`.

## Data

| pack | SHA-256 | licence |
| --- | --- | --- |
{packs}

Clothing: photographs given by volunteers, alexeygrigorev/clothing-dataset-small, CC0 1.0. Caltech 101, F.-F. Li, M.
Andreeto, M. Ranzato, P. Perona, CaltechDATA 2022, doi:10.22002/D1.20086, CC BY 4.0; images cropped and resized. The
images are not in this repository. Held out: {n_test:,} photographs (a tenth): the publishers' test split of clothing,
and 3 in 10 (by hash of the file name) of Caltech's test list.

## Figures

`python recipes/evaluate_photos_clip.py vitreous/photos-clip --data FOLDER --card`, zero-shot over all {n_classes}
training classes at once:

| held-out photographs | top-1 | balanced (mean over classes) |
| --- | --- | --- |
| all {n_test:,} | {all:.3f} | {balanced:.3f} |
| clothing ({n_clothing}) | {clothing:.3f} | |
| Caltech 101 ({n_caltech}) | {caltech:.3f} | |
| always the most frequent class | {frequent:.3f} | |

Learning curve, top-1 on the held-out photographs: CURVE.

What limits it is time: the curve had not flattened. Small and trained on little: good for looking inside, not for use.
"""


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="vitreous/photos-clip")
    parser.add_argument("--data", type=Path, required=True, help="folder with the two packs")
    parser.add_argument("--log", type=Path, default=Path("runs/photos-clip/curve.json"), help="learning curve")
    parser.add_argument("--card", action="store_true", help="write README.md and evaluation.json beside the weights")
    args = parser.parse_args()
    train, test = photographs(args.data)
    classes = sorted({p.name for p in train})
    model = HookedCLIP.from_pretrained(args.model)
    embedded = model.zero_shot({c: [t.format(c) for t in TEMPLATES] for c in classes})
    guess = []
    for i in range(0, len(test), 64):
        pixels = model.preprocess([p.image for p in test[i : i + 64]])
        guess += model.logits(pixels, embedded).argmax(1).tolist()
    right = np.array([classes[g] == p.name for g, p in zip(guess, test, strict=True)])
    cloth = np.array([p.file.startswith("test/") for p in test])
    by_class = defaultdict(list)
    for p, hit in zip(test, right, strict=True):
        by_class[p.name].append(hit)
    names = [p.name for p in train]
    most = max(set(names), key=names.count)
    result = {
        "n_train": len(train),
        "n_test": len(test),
        "n_classes": len(classes),
        "all": float(right.mean()),
        "balanced": float(np.mean([np.mean(hits) for hits in by_class.values()])),
        "clothing": float(right[cloth].mean()),
        "caltech": float(right[~cloth].mean()),
        "n_clothing": int(cloth.sum()),
        "n_caltech": int((~cloth).sum()),
        "frequent": float(np.mean([p.name == most for p in test])),
    }
    if args.log.exists():
        result["curve"] = json.loads(args.log.read_text())
    print(json.dumps(result, indent=1))
    if args.card:
        write_card(args.model, result)


def write_card(name: str, result: dict) -> None:
    folder = Path(name)
    if name.startswith("vitreous/"):
        folder = Path(str(files("vitreous"))) / "pretrained" / "assets" / name.split("/")[1]
    curve = result.get("curve", [])
    text = CARD.format(
        size=(folder / "model.safetensors").stat().st_size / 1e6,
        packs="\n".join(
            f"| {p}.zip | `{sha}` | {'CC0 1.0' if 'cc0' in p else 'CC BY 4.0'} |" for p, sha in PACKS.items()
        ),
        steps=STEPS,
        batch=BATCH,
        **{k: v for k, v in result.items() if k != "curve"},
    )
    said = ", ".join(f"{row['top1']:.3f} after {row['step']:,} steps" for row in curve) or "not recorded"
    (folder / "README.md").write_text(text.replace("CURVE", said))
    (folder / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
