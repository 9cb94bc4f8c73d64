"""Train `vitreous/photos-clip`: a CLIP on about 11,600 openly licensed photographs, class names as text.

    python recipes/train_photos_clip.py --data FOLDER --out runs/photos-clip     # under an hour on 2 cores
    python recipes/evaluate_photos_clip.py runs/photos-clip/model --data FOLDER --card

FOLDER holds two packs (their SHA-256 is checked):

* clothing_cc0_96.zip: 3,781 photographs of clothes, 10 classes, CC0 1.0 (alexeygrigorev/clothing-dataset-small).
* caltech101_80.zip: 7,807 pictures, 99 classes. "Caltech 101, F.-F. Li, M. Andreeto, M. Ranzato, P. Perona,
  CaltechDATA 2022, doi:10.22002/D1.20086, CC BY 4.0; images cropped and resized."

Held out: a tenth. For clothing the publishers' test split; for Caltech the first 3 in 10 (by hash of the file name) of
the test list. Everything else is trained on. The images stay out of the repository.
"""

import argparse
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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
from PIL import Image, ImageEnhance
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from vitreous.hooked import HookedViT

SEED = 20262
STEPS, SCHEDULE, BATCH = 1800, 3000, 128  # stopped before the learning rate has fallen: see the learning curve
SIDE = 64
PACKS = {
    "clothing_cc0_96": "59945d1d92ddac73f51647860087362e93a6ffcf1ea79810485e4fbe0a63575e",
    "caltech101_80": "9bded76226923265838b8e10fa220824d5b6ebaee63ed471ede8ddfdaa63c89c",
}
TEMPLATES = ("a photo of a {}", "a picture of a {}", "a {}", "there is a {} in the photo", "a small photo of a {}")
GREY = ("a black and white photo of a {}", "a grey picture of a {}")


class Photo(NamedTuple):
    """One picture at its stored size, with its class name in words."""

    image: Image.Image
    name: str
    grey: bool
    file: str


def words(class_name: str) -> str:
    """
    >>> words("Motorbikes"), words("wild_cat"), words("t-shirt")
    ('motorbike', 'wild cat', 't shirt')
    """
    plural = {"motorbikes": "motorbike", "airplanes": "airplane", "longsleeve": "long sleeve shirt"}
    name = class_name.lower().replace("_", " ").replace("-", " ")
    return plural.get(name, name)


def photographs(folder: Path) -> tuple[list[Photo], list[Photo]]:
    """(training, held out), in the order of the manifests.

    Raises:
        SystemExit: a pack is missing or differs from the one that the committed weights were trained on.
    """
    train: list[Photo] = []
    test: list[Photo] = []
    for pack, digest in PACKS.items():
        path = folder / f"{pack}.zip"
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{path} is missing or is not the pack with SHA-256 {digest}")
        with zipfile.ZipFile(path) as z:
            rows = list(csv.DictReader(io.TextIOWrapper(z.open("manifest.csv"), "utf-8")))
            listed = set(z.read("test.txt").decode().split()) if "test.txt" in z.namelist() else set()
            for row in rows:
                image = Image.open(io.BytesIO(z.read(row["file"]))).convert("RGB")
                photo = Photo(image, words(row["class"]), row.get("was_gray") == "1", row["file"])
                (test if held_out(row, listed) else train).append(photo)
    return train, test


def held_out(row: dict[str, str], listed: set[str]) -> bool:
    if "split" in row:
        return row["split"] == "test"
    return row["file"] in listed and int(hashlib.sha1(row["file"].encode()).hexdigest(), 16) % 10 < 3


def augmented(photo: Photo, dice: np.random.Generator) -> np.ndarray:
    """Random crop of 40 to 100% of the area, mirror, brightness, contrast and colour."""
    w, h = photo.image.size
    area, ratio = dice.uniform(0.4, 1.0), np.exp(dice.uniform(-0.25, 0.25))
    cw, ch = min(w, w * (area * ratio) ** 0.5), min(h, h * (area / ratio) ** 0.5)
    x, y = dice.uniform(0, w - cw), dice.uniform(0, h - ch)
    image = photo.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(x, y, x + cw, y + ch))
    if dice.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for effect in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = effect(image).enhance(dice.uniform(0.7, 1.3))
    return np.asarray(image)


class Batches(IterableDataset):
    """Shuffled epochs of augmented photographs, from step `first` on; each step depends on the seed and itself."""

    def __init__(self, photos: list[Photo], first: int, steps: int, size: int, keep: int, full_from: int):
        self.photos, self.first, self.steps, self.size = photos, first, steps, size
        self.keep, self.full_from = keep, full_from

    def __iter__(self) -> Iterator[dict]:
        per_epoch = len(self.photos) // self.size
        for step in range(self.first, self.steps):
            epoch, at = divmod(step, per_epoch)
            order = np.random.default_rng((SEED, epoch)).permutation(len(self.photos))
            dice = np.random.default_rng((SEED, 1, step))
            chosen = [self.photos[i] for i in order[at * self.size : (at + 1) * self.size]]
            pixels = np.stack([augmented(p, dice) for p in chosen])
            said = [
                str(dice.choice(GREY if p.grey and dice.random() < 0.5 else TEMPLATES)).format(p.name) for p in chosen
            ]
            keep = np.argsort(dice.random((self.size, (SIDE // 8) ** 2)), 1)[:, : self.keep]
            yield {
                "pixels": torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
                "captions": said,
                "names": [p.name for p in chosen],
                "keep": None if step >= self.full_from else torch.from_numpy(np.sort(keep, 1)),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the two packs")
    parser.add_argument("--out", type=Path, default=Path("runs/photos-clip"))
    scratch = "start the vision tower from random weights instead of those of vitreous/scenes-clip"
    parser.add_argument("--scratch", action="store_true", help=scratch)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--keep", type=int, default=32, help="patches kept, of 64 (default: 32)")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    train, test = photographs(args.data)
    classes = sorted({p.name for p in train})
    vocabulary = {w for t in (*TEMPLATES, *GREY, *classes) for w in t.split() if w != "{}"}
    tokenizer = word_tokenizer(vocabulary, 24)
    model = small_clip(tokenizer, image_size=SIDE)
    if not args.scratch:
        native = HookedViT.from_pretrained("vitreous/scenes-clip").native
        model.vision_model.load_state_dict(native.vision_model.state_dict())
    print(f"{len(train)} photographs to train on, {len(test)} held out, {len(classes)} classes", flush=True)

    def loss(data: dict, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        images = embed_images(model, data["pixels"].float() / 127.5 - 1.0, data["keep"])
        scale = model.logit_scale.exp()
        template = TEMPLATES[step % len(TEMPLATES)]
        texts = embed_texts(model, tokenizer, data["captions"] + [template.format(c) for c in classes])
        target = torch.tensor([classes.index(n) for n in data["names"]])
        logits = scale * images @ texts[len(images) :].T
        clip = contrastive_loss(images, texts[: len(images)], data["names"], scale)
        named = F.cross_entropy(logits, target, label_smoothing=0.1)
        hits = (logits.argmax(1) == target).float().mean().item()
        return clip + named, {"clip": clip.item(), "named": named.item(), "top1": hits, "scale": scale.item()}

    def batches(first: int) -> Iterator[dict]:
        data = Batches(train, first, SCHEDULE, args.batch, args.keep, SCHEDULE * 7 // 8)
        return iter(DataLoader(data, batch_size=None, num_workers=1))

    pixels = torch.from_numpy(
        np.stack([np.asarray(p.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for p in test])
    ).permute(0, 3, 1, 2)

    @torch.no_grad()
    def report(step: int) -> None:
        texts = embed_texts(model, tokenizer, [TEMPLATES[0].format(c) for c in classes])
        images = embed_images(model, pixels.float() / 127.5 - 1.0)
        guess = (images @ texts.T).argmax(1).tolist()
        right = [classes[g] == p.name for g, p in zip(guess, test, strict=True)]
        curve = args.out / "curve.json"
        rows = json.loads(curve.read_text()) if curve.exists() else []
        rows.append({"step": step, "top1": round(sum(right) / len(right), 4)})
        curve.write_text(json.dumps(rows))
        print(f"step {step}: held-out top-1 {rows[-1]['top1']} of {len(right)} photographs", flush=True)

    fit(
        model,
        batches,
        loss,
        steps=SCHEDULE,
        stop=args.steps,
        out=args.out,
        lr=args.lr,
        weight_decay=0.2,
        save_every=150,
        report=report,
        after=clamp_scale,
    )
    export(model.eval(), tokenizer, args.out / "model")
    vocabulary_file = {"template": TEMPLATES[0], "classes": classes}
    (args.out / "model" / "classes.json").write_text(json.dumps(vocabulary_file, indent=1) + "\n")
    print(f"wrote {args.out / 'model'}")


if __name__ == "__main__":
    main()
