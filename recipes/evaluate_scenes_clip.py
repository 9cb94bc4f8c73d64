"""Measure `vitreous/scenes-clip` on unseen scenes, and write its model card.

    python recipes/evaluate_scenes_clip.py [MODEL] [--n 2000] [--card]

Zero-shot: single-object scenes; each factor is read off by the nearest of its prompts. Retrieval: scenes of one to four
objects in galleries of 256, by their complete caption. Its ceiling is what an oracle with the ground truth would score:
several scenes can have captions that fit, and the oracle then guesses among them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from vitreous.data.language import NUMBERS, captions, place
from vitreous.data.scenes import ATTRIBUTES, Scene, Scenes
from vitreous.hooked import HookedCLIP

SEED = 880_001
GALLERY = 256
PROMPTS = {
    "colour": ("a {} object", "a picture of a {} object"),
    "shape": ("a {}", "a picture of a {}"),
    "texture": ("a {} object", "a picture of a {} object"),
    "size": ("a {} object", "a picture of a {} object"),
    "background": ("a {} background", "objects on a {} background"),
}
BARS = {"colour": 0.95, "shape": 0.95, "texture": 0.90, "size": 0.90, "background": 0.90}


@torch.no_grad()
def embed(model: HookedCLIP, scenes: list[Scene]) -> torch.Tensor:
    parts = [scenes[i : i + 64] for i in range(0, len(scenes), 64)]
    return torch.cat([model.embed_image(model.preprocess([s.image for s in part])) for part in parts])


def choices(model: HookedCLIP, images: torch.Tensor, prompts: dict[str, tuple[str, ...]]) -> list[str]:
    names = list(prompts)
    return [names[i] for i in (images @ model.zero_shot(prompts).T).argmax(1).tolist()]


def zero_shot(model: HookedCLIP, n: int) -> dict[str, float]:
    """Accuracy per factor on `n` single-object scenes."""
    scenes = Scenes(n, seed=SEED, n_objects=(1, 1))[:]
    images = embed(model, scenes)
    found = {}
    for name, values in ATTRIBUTES.items():
        prompts = {v: tuple(t.format(v) for t in PROMPTS[name]) for v in values}
        truth = [s.background if name == "background" else getattr(s.objects[0], name) for s in scenes]
        found[name] = float(np.mean([a == b for a, b in zip(choices(model, images, prompts), truth, strict=True)]))
    return found


def description(scene: Scene) -> tuple:
    """All that the complete caption says: the bag of objects, and the background."""
    return scene.background, tuple(sorted((o.size, o.texture, o.colour, o.shape) for o in scene.objects))


def ceiling(scenes: list[Scene]) -> float:
    """R@1 of an oracle that knows which captions fit which scenes and guesses evenly among those that do."""
    said = [description(s) for s in scenes]
    return float(np.mean([1.0 / said.count(d) for d in said]))


@torch.no_grad()
def retrieval(model: HookedCLIP, n: int) -> dict[str, float]:
    """R@1 both ways in galleries of 256, for complete captions and for short ones, with the ceilings."""
    scenes = Scenes(n // GALLERY * GALLERY, seed=SEED + 1)[:]
    images = embed(model, scenes)
    said = [captions(s)[0] for s in scenes]
    texts = torch.cat([model.embed_text(said[i : i + 256]) for i in range(0, len(said), 256)])
    scores: dict[str, list[float]] = {"image_to_text": [], "text_to_image": [], "ceiling": []}
    for i in range(0, len(scenes), GALLERY):
        logits = images[i : i + GALLERY] @ texts[i : i + GALLERY].T
        own = torch.arange(GALLERY)
        scores["image_to_text"].append((logits.argmax(1) == own).float().mean().item())
        scores["text_to_image"].append((logits.argmax(0) == own).float().mean().item())
        scores["ceiling"].append(ceiling(scenes[i : i + GALLERY]))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def weak_spots(model: HookedCLIP, n: int) -> dict[str, float]:
    """What the model is not good at: counting, binding and places; each with the accuracy of guessing."""
    scenes = Scenes(n, seed=SEED + 2)[:]
    images = embed(model, scenes)
    counts = {w: (f"{w} object{'s' * (w != 'one')} on a {{}} background",) for w in NUMBERS[1:]}
    hits = []
    for s, image in zip(scenes, images, strict=True):
        filled = {w: (t[0].format(s.background),) for w, t in counts.items()}
        hits.append(choices(model, image[None], filled)[0] == NUMBERS[len(s.objects)])
    bound, sided, quadrant = [], [], []
    for s, image in zip(scenes, images, strict=True):
        if len(s.objects) == 2:
            a, b = s.objects
            if a.colour != b.colour and a.shape != b.shape:
                pair = {
                    "right": (f"a picture of a {a.colour} {a.shape} and a {b.colour} {b.shape}",),
                    "swapped": (f"a picture of a {b.colour} {a.shape} and a {a.colour} {b.shape}",),
                }
                bound.append(choices(model, image[None], pair)[0] == "right")
                if abs(a.x - b.x) >= 0.1:
                    left, right = (a, b) if a.x < b.x else (b, a)
                    both = {
                        "right": (f"a {left.colour} {left.shape} left of a {right.colour} {right.shape}",),
                        "swapped": (f"a {right.colour} {right.shape} left of a {left.colour} {left.shape}",),
                    }
                    sided.append(choices(model, image[None], both)[0] == "right")
        if len(s.objects) == 1 and place(s.objects[0]):
            o = s.objects[0]
            where = {
                w: (f"a {o.colour} {o.shape} in the {w} on a {s.background} background",)
                for w in ("top left", "top right", "bottom left", "bottom right")
            }
            quadrant.append(choices(model, image[None], where)[0] == place(o))
    return {
        "counting 1 to 4 (chance 0.25)": float(np.mean(hits)),
        "which colour belongs to which shape (chance 0.50)": float(np.mean(bound)),
        "left of (chance 0.50)": float(np.mean(sided)),
        "quadrant of one object (chance 0.25)": float(np.mean(quadrant)),
    }


CARD = """---
license: mit
library_name: transformers
tags: [clip, synthetic, interpretability]
---

# vitreous/scenes-clip

A small CLIP for procedurally drawn scenes with exact ground truth (`vitreous.data.scenes`): {size:.1f} MB in float16,
vision tower of 6 layers, width 192, patch 8 on 64 px; text tower of 4 layers, width 128, {words} words. It is what
`recipes/train_scenes_clip.py` makes ({steps:,} steps of {batch}, {images:,} scenes, each seen once). Made to be
looked into: every latent, head and neuron found in it can be checked against the truth.

Figures: `python recipes/evaluate_scenes_clip.py vitreous/scenes-clip --card`, {n:,} unseen scenes.

| zero-shot accuracy, one object | value | bar |
| --- | --- | --- |
{zero_shot}

| retrieval among 256, complete captions, 1 to 4 objects | R@1 | share of the ceiling |
| --- | --- | --- |
| image to text | {i2t:.3f} | {i2t_share:.3f} |
| text to image | {t2i:.3f} | {t2i_share:.3f} |
| ceiling: an oracle that guesses among the scenes that fit | {ceiling:.3f} | 1 |

Weak spots, all with one to four objects:

| task | accuracy |
| --- | --- |
{weak}

Trained on closed vocabulary and drawn pictures only: it knows nothing of photographs. Licence: MIT.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="vitreous/scenes-clip")
    parser.add_argument("--n", type=int, default=2000, help="scenes per measurement (default: 2000)")
    parser.add_argument("--card", action="store_true", help="write README.md and evaluation.json beside the weights")
    args = parser.parse_args()
    model = HookedCLIP.from_pretrained(args.model)
    result = {"n": args.n, "zero_shot": zero_shot(model, args.n), "retrieval": retrieval(model, args.n)}
    result["weak_spots"] = weak_spots(model, args.n)
    print(json.dumps(result, indent=1))
    if args.card:
        write_card(args.model, model, result)


def write_card(name: str, model: HookedCLIP, result: dict) -> None:
    from importlib.resources import files

    import train_scenes_clip as recipe

    folder = Path(name)
    if name.startswith("vitreous/"):
        folder = Path(str(files("vitreous"))) / "pretrained" / "assets" / name.split("/")[1]
    r = result["retrieval"]
    text = CARD.format(
        size=(folder / "model.safetensors").stat().st_size / 1e6,
        words=model.text.native.text_model.config.vocab_size,
        steps=recipe.STEPS,
        batch=recipe.BATCH,
        images=recipe.STEPS * recipe.BATCH,
        n=result["n"],
        zero_shot="\n".join(f"| {k} | {v:.3f} | {BARS[k]:.2f} |" for k, v in result["zero_shot"].items()),
        i2t=r["image_to_text"],
        t2i=r["text_to_image"],
        i2t_share=r["image_to_text"] / r["ceiling"],
        t2i_share=r["text_to_image"] / r["ceiling"],
        ceiling=r["ceiling"],
        weak="\n".join(f"| {k} | {v:.3f} |" for k, v in result["weak_spots"].items()),
    )
    (folder / "README.md").write_text(text)
    (folder / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
