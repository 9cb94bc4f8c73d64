"""Measure `vitreous/scenes-vlm` on unseen scenes, and write its model card.

    python recipes/evaluate_scenes_vlm.py [MODEL] [--n 2000] [--card]

Every question of every scene (one to four objects), one prompt each, greedy generation by transformers, exact match of
the whole answer. Beside it: the same questions with a mid-grey picture (what the language alone gives away), and a
guesser that knows the most frequent answer of each kind.

Descriptions are read back: a colour word before a shape word names an object. Hallucinated is a named (colour, shape)
that no object of the scene has.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from vitreous.data.language import QUESTION_KINDS, Question, questions
from vitreous.data.scenes import ATTRIBUTES, Scene, Scenes

SEED = 880_011
DESCRIBE = "describe the picture ."
BARS = {"colour-of": 0.95, "shape-of": 0.95, "exists": 0.95, "where": 0.85, "count": 0.85}
Answer = Callable[[list[Image.Image], list[str]], list[str]]


def folder_of(name: str) -> Path:
    """The folder of `vitreous/...`, or the folder that was named."""
    if name.startswith("vitreous/"):
        return Path(str(files("vitreous"))) / "pretrained" / "assets" / name.split("/")[1]
    return Path(name)


def answerer(folder: Path, chunk: int = 64) -> Answer:
    """Pictures and questions in, greedy answers out; plain transformers, float32."""
    processor = AutoProcessor.from_pretrained(folder)
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def answer(images: list[Image.Image], asked: list[str]) -> list[str]:
        said = [""] * len(asked)
        order = sorted(range(len(asked)), key=lambda i: len(asked[i].split()))
        for i in range(0, len(order), chunk):
            part = order[i : i + chunk]
            prompts = [f"<image> {asked[k]}" for k in part]
            inputs = processor(images=[images[k] for k in part], text=prompts, padding=True, return_tensors="pt")
            new = model.generate(**inputs, do_sample=False)[:, inputs.input_ids.shape[1] :]
            for k, text in zip(part, processor.batch_decode(new, skip_special_tokens=True), strict=True):
                said[k] = text
        return said

    return answer


def variety(q: Question) -> str:
    """What exactly is asked within a kind."""
    if q.kind == "count":
        return "count, all objects" if q.text == "how many objects are there ?" else "count, of a colour"
    if q.kind == "exists":
        return f"exists, truth is {q.answer}"
    if q.kind == "relation":
        return "relation, left or right" if "left" in q.text or "right" in q.text else "relation, above or below"
    if q.kind == "compare":
        return "compare, same colour" if "colour" in q.text else "compare, which is larger"
    return q.kind


def question_figures(answer: Answer, scenes: list[Scene]) -> dict[str, dict]:
    """Accuracy per kind and per variety: seen, blanked, and by always giving the most frequent answer."""
    pairs = [(s, q) for s in scenes for q in questions(s)]
    said = answer([s.image for s, _ in pairs], [q.text for _, q in pairs])
    texts = sorted({q.text for _, q in pairs})
    grey = Image.new("RGB", (scenes[0].pixels_wide,) * 2, (128, 128, 128))
    prior = dict(zip(texts, answer([grey] * len(texts), texts), strict=True))
    rows: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for (_, q), a in zip(pairs, said, strict=True):
        for name in {q.kind, variety(q)}:
            rows[name].append((q.answer, a, prior[q.text]))
    figures = {}
    for name in sorted(rows, key=lambda k: (QUESTION_KINDS.index(k.split(",")[0]), k)):
        truth = [t for t, _, _ in rows[name]]
        figures[name] = {
            "n": len(truth),
            "accuracy": float(np.mean([a == t for t, a, _ in rows[name]])),
            "blanked": float(np.mean([b == t for t, _, b in rows[name]])),
            "majority": Counter(truth).most_common(1)[0][1] / len(truth),
        }
    return figures


def named(caption: str) -> list[tuple[str, str]]:
    """The (colour, shape) of every object that a description names.

    >>> named("a small dotted red ring and a large solid blue star on a navy background")
    [('red', 'ring'), ('blue', 'star')]
    """
    words = caption.split()
    return [(c, s) for c, s in pairwise(words) if c in ATTRIBUTES["colour"] and s in ATTRIBUTES["shape"]]


def phrases(caption: str) -> list[tuple[str, ...]]:
    """The (size, texture, colour, shape) of every object that is described with all of them."""
    words = caption.split()
    kinds = [ATTRIBUTES[k] for k in ("size", "texture", "colour", "shape")]
    found = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return sorted(p for p in found if all(w in k for w, k in zip(p, kinds, strict=True)))


def caption_figures(answer: Answer, scenes: list[Scene]) -> dict[str, float]:
    """How true and how complete the descriptions are."""
    captions = answer([s.image for s in scenes], [DESCRIBE] * len(scenes))
    mentions, wrong, repeated, present, recalled, any_wrong, perfect = 0, 0, 0, 0, 0, [], []
    for s, caption in zip(scenes, captions, strict=True):
        said, truth = named(caption), Counter((o.colour, o.shape) for o in s.objects)
        false = [pair for pair in said if pair not in truth]
        mentions, wrong, present = mentions + len(said), wrong + len(false), present + len(s.objects)
        found = sum((Counter(said) & truth).values())
        recalled, repeated = recalled + found, repeated + len(said) - len(false) - found
        any_wrong.append(bool(false))
        whole = sorted((o.size, o.texture, o.colour, o.shape) for o in s.objects)
        perfect.append(phrases(caption) == whole and caption.endswith(f" {s.background} background"))
    return {
        "named objects that are not there": wrong / max(1, mentions),
        "descriptions with at least one such object": float(np.mean(any_wrong)),
        "objects named more often than they are there": repeated / max(1, mentions),
        "objects that are named (recall)": recalled / present,
        "descriptions without any error or omission": float(np.mean(perfect)),
    }


def empty_figures(answer: Answer, scenes: list[Scene]) -> dict[str, float]:
    """Scenes without objects: is the count zero, and is nothing named?"""
    empty = [replace(s, objects=(), history=("empty",)) for s in scenes]
    images = [s.image for s in empty]
    counts = answer(images, ["how many objects are there ?"] * len(images))
    captions = answer(images, [DESCRIBE] * len(images))
    return {
        "count is zero": float(np.mean([c == "zero" for c in counts])),
        "descriptions that name an object": float(np.mean([bool(named(c)) for c in captions])),
    }


CARD = """---
license: mit
library_name: transformers
pipeline_tag: image-text-to-text
tags: [llava, synthetic, interpretability]
---

# vitreous/scenes-vlm

A small LLaVA for procedurally drawn scenes with exact ground truth (`vitreous.data.scenes`): {size:.1f} MB in float16,
{parameters:.1f} M parameters. Vision tower: that of `vitreous/scenes-clip` ({tower} layers, width {tower_width},
{patches} patches), fine-tuned along, so its weights differ from scenes-clip's; the patches of hidden state {layer} are
read. Projector: two layers. Language model: Llama, {layers} layers, width {width}, {heads} query and {kv} key-value
heads, {words} words. It is what `recipes/train_scenes_vlm.py` makes ({steps:,} steps of {batch}, {images:,} scenes,
each seen once with about 12 questions). Made to be looked into: every answer can be checked against the truth.

```python
processor = AutoProcessor.from_pretrained(folder)
model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
inputs = processor(images=scene.image, text="<image> what colour is the ring ?", return_tensors="pt")
new = model.generate(**inputs)[:, inputs.input_ids.shape[1] :]
processor.batch_decode(new, skip_special_tokens=True)  # ['red']
```

A prompt is `<image>`, a space, and one question as `vitreous.data.language` words it, ending in "?"; the answer and
`<end>` follow. Tokens: `<start>`, {patches} times `<image>`, the words. `{describe}` asks for a description.
`processor.apply_chat_template` makes the same prompt. The model was trained on one question per prompt: it does not
chat.

Figures: `python recipes/evaluate_scenes_vlm.py vitreous/scenes-vlm --card`; {n:,} unseen scenes of one to four objects,
all their questions, greedy, exact match of the whole answer. Guesser: always the most frequent answer of that row.
Blanked: the same questions with a mid-grey picture. The model takes that for a scene without objects ("zero", "no"), so
the column says what it answers when it sees nothing, which is not the same as its best guess from the words alone.

| question | n | accuracy | bar | blanked | guesser |
| --- | --- | --- | --- | --- | --- |
{questions}

{verdict}

| within a kind | n | accuracy | blanked | guesser |
| --- | --- | --- | --- | --- |
{varieties}

{weak}

| descriptions ("{describe}") | share |
| --- | --- |
{captions}

| {n_empty} scenes without objects | share |
| --- | --- |
{empty}

Trained on closed vocabulary and drawn pictures only: it knows nothing of photographs, and of no other wording. Licence:
MIT.
"""


def write_card(folder: Path, result: dict) -> None:
    import train_scenes_vlm as recipe

    model = LlavaForConditionalGeneration.from_pretrained(folder)
    vision, text = model.config.vision_config, model.config.text_config
    asked = result["questions"]
    missed = [k for k, bar in BARS.items() if asked[k]["accuracy"] < bar]
    alone = {k for k, v in asked.items() if v["majority"] == 1.0}  # one truth only: the guesser knows it
    weak = [k for k, v in asked.items() if k not in alone and v["accuracy"] < v["majority"] + 0.05]
    rows = [
        f"| {k} | {v['n']:,} | {v['accuracy']:.3f} | {BARS.get(k, 0):.2f} | {v['blanked']:.3f} | {v['majority']:.3f} |"
        for k, v in asked.items()
        if k in QUESTION_KINDS
    ]
    card = CARD.format(
        size=sum(f.stat().st_size for f in folder.iterdir() if f.suffix != ".md") / 1e6,
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        tower=vision.num_hidden_layers,
        tower_width=vision.hidden_size,
        patches=(vision.image_size // vision.patch_size) ** 2,
        layer=model.config.vision_feature_layer,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv=text.num_key_value_heads,
        words=text.vocab_size,
        steps=recipe.STEPS,
        batch=recipe.BATCH,
        images=recipe.STEPS * recipe.BATCH,
        n=result["n"],
        n_empty=result["n_empty"],
        describe=DESCRIBE,
        questions="\n".join(rows).replace("| 0.00 |", "| - |"),
        weak=f"Less than 0.05 above the guesser: {', '.join(weak) or 'none'}.",
        verdict=f"Below the bar: {', '.join(missed)}." if missed else "Every bar is reached.",
        varieties="\n".join(
            f"| {k} | {v['n']:,} | {v['accuracy']:.3f} | {v['blanked']:.3f} | {v['majority']:.3f} |"
            for k, v in asked.items()
            if k not in QUESTION_KINDS
        ),
        captions="\n".join(f"| {k} | {v:.4f} |" for k, v in result["captions"].items()),
        empty="\n".join(f"| {k} | {v:.3f} |" for k, v in result["empty"].items()),
    )
    (folder / "README.md").write_text(card)
    (folder / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="vitreous/scenes-vlm")
    parser.add_argument("--n", type=int, default=2000, help="scenes (default: 2000)")
    parser.add_argument("--card", action="store_true", help="write README.md and evaluation.json beside the weights")
    args = parser.parse_args()
    folder, scenes = folder_of(args.model), Scenes(args.n, seed=SEED)[:]
    answer, few = answerer(folder), scenes[: max(1, args.n // 10)]
    result = {"n": args.n, "questions": question_figures(answer, scenes), "captions": caption_figures(answer, scenes)}
    result |= {"n_empty": len(few), "empty": empty_figures(answer, few)}
    print(json.dumps(result, indent=1))
    if args.card:
        write_card(folder, result)


if __name__ == "__main__":
    main()
