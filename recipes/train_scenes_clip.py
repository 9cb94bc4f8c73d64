"""Train `vitreous/scenes-clip`: a CLIP that sees and names procedurally drawn scenes.

    python recipes/train_scenes_clip.py --out runs/scenes-clip            # about an hour on 2 cores
    python recipes/evaluate_scenes_clip.py vitreous/scenes-clip --card    # writes the model card

Supervision is language only. Each step has CLIP's loss over captions, and the same loss over two closed sets of short
prompts: one per attribute value ("a ring", "a striped object", ...) and one per colour and shape ("a red ring"), whose
wrong members differ from the truth in one attribute. A scene with several objects has several right prompts.

The curriculum begins with one object and part of the patches (all that touch an object, then random ones: cheap
steps), and ends with whole images of one to four objects.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from contrastive import (
    clamp_scale,
    contrastive_loss,
    embed_images,
    embed_texts,
    export,
    fit,
    small_clip,
    word_tokenizer,
)
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from vitreous.data.language import NUMBERS, captions
from vitreous.data.scenes import ATTRIBUTES, Dice, Scene, draw

SEED = 20261
STEPS, BATCH = 1600, 128
TEMPLATES = {
    "colour": ("a {} object", "a picture of a {} object", "there is a {} object"),
    "shape": ("a {}", "a picture of a {}", "there is a {}"),
    "texture": ("a {} object", "a picture of a {} object", "there is a {} object"),
    "size": ("a {} object", "a picture of a {} object", "there is a {} object"),
    "background": ("a {} background", "objects on a {} background", "a picture with a {} background"),
}
OTHER_WORDS = """a an and on in the of left right top bottom above below front behind background picture there is object
objects empty scene nothing without only , : ? larger smaller than what colour shape where how many are same which or
yes no with photo image"""
WORDS = (
    {w for values in ATTRIBUTES.values() for w in values}
    | {w for group in TEMPLATES.values() for t in group for w in t.split() if w != "{}"}
    | set(NUMBERS)
    | set(OTHER_WORDS.split())
)
MAX_LENGTH = 56
STAGES = ((0.40, 0.75, 24), (0.88, 0.25, 36), (1.00, 0.30, None))
"""(until this share of the steps, share of single-object scenes, patches kept)."""


def stage(progress: float) -> tuple[float, int | None]:
    return next((single, keep) for until, single, keep in STAGES if progress < until or until == 1.0)


def batch(step: int, steps: int, size: int) -> dict:
    """Scenes number `step * size` onwards: pixels, captions, kept patches and the true prompts."""
    single, keep = stage(step / steps)
    dice = Dice(SEED, step, 5)
    scenes: list[Scene] = []
    for i in range(size):
        most = (1, 1) if dice.below(1000) < 1000 * single else (1, 4)
        scenes.append(draw(SEED, step * size + i, 64, most))
    pixels = torch.from_numpy(np.stack([s.pixels for s in scenes])).permute(0, 3, 1, 2).contiguous()
    said = [dice.pick(captions(s)) if dice.below(2) else captions(s)[0] for s in scenes]
    kept = None if keep is None else torch.from_numpy(np.stack([_looked_at(s, keep, dice) for s in scenes]))
    truth = {n: torch.stack([_present(s, n) for s in scenes]) for n in ATTRIBUTES}
    pairs = torch.stack([_pairs(s) for s in scenes])
    return {"pixels": pixels, "captions": said, "keep": kept, "truth": truth, "pairs": pairs}


def _looked_at(scene: Scene, keep: int, dice: Dice) -> np.ndarray:
    covered = scene.masks.any(0).reshape(8, 8, 8, 8).any((1, 3)).reshape(-1)
    order = np.array(dice.shuffled(range(64)))
    return np.sort(order[np.argsort(~covered[order], kind="stable")][:keep])


def _present(scene: Scene, name: str) -> torch.Tensor:
    found = {scene.background} if name == "background" else {getattr(o, name) for o in scene.objects}
    row = torch.tensor([float(v in found) for v in ATTRIBUTES[name]])
    return row / row.sum()


def _pairs(scene: Scene) -> torch.Tensor:
    found = {(o.colour, o.shape) for o in scene.objects}
    row = torch.tensor([float((c, s) in found) for c in ATTRIBUTES["colour"] for s in ATTRIBUTES["shape"]])
    return row / row.sum()


class Batches(IterableDataset):
    """Batches from `first` on, drawn in a worker process."""

    def __init__(self, first: int, steps: int, size: int):
        self.first, self.steps, self.size = first, steps, size

    def __iter__(self) -> Iterator[dict]:
        return (batch(step, self.steps, self.size) for step in range(self.first, self.steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/scenes-clip"), help="checkpoints, log and the result")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    tokenizer = word_tokenizer(WORDS, MAX_LENGTH)
    model = small_clip(tokenizer, image_size=64)

    def loss(data: dict, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        dice = Dice(SEED, step, 17)
        images = embed_images(model, data["pixels"].float() / 127.5 - 1.0, data["keep"])
        scale = model.logit_scale.exp()
        prompts = {n: [dice.pick(TEMPLATES[n]).format(v) for v in ATTRIBUTES[n]] for n in ATTRIBUTES}
        pairs = [f"a {c} {s}" for c in ATTRIBUTES["colour"] for s in ATTRIBUTES["shape"]]
        short = embed_texts(model, tokenizer, [p for group in prompts.values() for p in group] + pairs)
        texts = embed_texts(model, tokenizer, data["captions"])
        clip = contrastive_loss(images, texts, data["captions"], scale)
        total, figures, start = clip, {"clip": clip.item(), "scale": scale.item()}, 0
        for name, truth in [*data["truth"].items(), ("pairs", data["pairs"])]:
            logits = scale * images @ short[start : start + truth.shape[1]].T
            start += truth.shape[1]
            total = total + 0.5 * F.cross_entropy(logits, truth)
            figures[name] = (truth.gather(1, logits.argmax(1, keepdim=True)) > 0).float().mean().item()
        return total, figures

    def batches(first: int) -> Iterator[dict]:
        return iter(DataLoader(Batches(first, args.steps, args.batch), batch_size=None, num_workers=1))

    fit(model, batches, loss, steps=args.steps, out=args.out, lr=args.lr, after=clamp_scale)
    export(model.eval(), tokenizer, args.out / "model")
    print(f"wrote {args.out / 'model'}")


if __name__ == "__main__":
    main()
