"""Train `vitreous/scenes-vlm`: a LLaVA that describes procedurally drawn scenes and answers questions about them.

    torchrun --standalone --nproc-per-node 2 recipes/train_scenes_vlm.py --out runs/scenes-vlm    # an hour on 2 cores
    python recipes/evaluate_scenes_vlm.py vitreous/scenes-vlm --card    # writes the model card

The vision tower is that of `vitreous/scenes-clip` and goes on learning, slower than the rest. A prompt is
`<image> QUESTION`, and what follows it is the answer and `<end>`; loss is on these alone.

Many questions about one picture share a sequence, but none sees another: each attends to the picture and to itself, and
counts its positions on from the picture, so it looks as if it were the only one. That is how the model is used.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from contrastive import SPECIAL, fit, image_processor, rank, word_tokenizer
from tokenizers import AddedToken
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset
from train_scenes_clip import WORDS as CLIP_WORDS
from transformers import (
    CLIPModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from vitreous.data.language import QUESTION_KINDS, Question, captions, questions
from vitreous.data.scenes import Dice, Scene, draw

SEED, HELD_OUT = 20263, 20264
STEPS, SCHEDULE, BATCH = 2400, 3000, 32  # stopped a little before the learning rate has run out
EMPTY = 0.02
"""Share of scenes without objects."""
AMPLIFY = {900: 4.0, 1300: 2.0}
"""At these steps the tower's position embeddings, which CLIP left faint, are multiplied by this: see docs/log.md."""
PATCHES, TEXT = 64, 128
"""Tokens of a picture, and of all questions about it together."""
WEIGHTS = {"colour-of": 2, "shape-of": 3, "count": 4, "exists": 4, "where": 3, "relation": 2, "compare": 2}
"""How often each kind of question is asked, where it can be."""
DESCRIBE = "describe the picture ."
WORDS = CLIP_WORDS | {"describe", "."}
CHAT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% if message['content'] is string %}{{ '<image> ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}"
    "{{ ' ' + part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% else %}{{ ' ' + (message['content'] if message['content'] is string else message['content'][0]['text']) "
    "+ ' <end>' }}{% endif %}{% endfor %}"
)


def vlm_tokenizer() -> PreTrainedTokenizerFast:
    """The words of the scenes' language; `<image>` is the last token, and texts stay open for an answer."""
    tokenizer = word_tokenizer(WORDS, 128, end=False)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<image>", normalized=False, special=True)]})
    return tokenizer


def small_vlm(tokenizer: PreTrainedTokenizerFast, layer: int, n_layers: int) -> LlavaForConditionalGeneration:
    """The tower of scenes-clip, a projector, and a Llama of width 192 with 6 query and 2 key-value heads.

    Args:
        tokenizer: its length is the vocabulary's size.
        layer: which hidden state of the tower is read; -1 is the last.
        n_layers: of the language model.
    """
    from importlib.resources import files

    folder = str(files("vitreous") / "pretrained" / "assets" / "scenes-clip")
    tower = CLIPModel.from_pretrained(folder, dtype=torch.float32).vision_model
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=n_layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=3,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=text,
        image_token_index=len(tokenizer) - 1,
        image_seq_length=PATCHES,
        vision_feature_layer=layer,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=3,
    )
    model = LlavaForConditionalGeneration(config)
    for name, p in model.named_parameters():  # wider than Llama's 0.02, which is meant for wide models
        if p.ndim >= 2 and "vision_tower" not in name:
            torch.nn.init.normal_(p, std=0.5 / p.shape[1] ** 0.5)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    return model


def scene(seed: int, index: int) -> Scene:
    """A scene of one to four objects, sometimes of none."""
    drawn = draw(seed, index, 64)
    return replace(drawn, objects=(), history=("empty",)) if Dice(seed, index, 23).below(1000) < 1000 * EMPTY else drawn


def asked(about: Scene, dice: Dice, budget: int) -> list[Question]:
    """A description, then questions of random kinds until `budget` tokens are spent; none twice.

    Counting, existence and comparison have random parts: they are drawn several times.
    """
    chosen = [Question("describe", DESCRIBE, captions(about)[0], ())]
    left = budget - _length(chosen[0])
    pool: dict[str, dict[str, Question]] = {kind: {} for kind in QUESTION_KINDS}
    for turn in range(3):
        for q in questions(replace(about, index=about.index * 3 + turn)):
            pool[q.kind][q.text] = q
    bags = {kind: dice.shuffled(list(found.values())) for kind, found in pool.items()}
    while any(bags.values()):
        kind = dice.pick([k for k, bag in bags.items() if bag for _ in range(WEIGHTS[k])])
        question = bags[kind].pop()
        left -= _length(question)
        if left < 0:
            break
        chosen.append(question)
    return chosen


def _length(q: Question) -> int:
    return len(q.text.split()) + len(q.answer.split())  # the answer's <end> is never an input


class Packer:
    """Scenes and their questions as tensors; knows the vocabulary."""

    def __init__(self, vocabulary: dict[str, int]):
        self.vocabulary = vocabulary

    def __call__(self, scenes: list[Scene], asked_of: list[list[Question]], width: int = TEXT) -> dict:
        """Tokens, positions, the question each token belongs to (0: the picture, -1: padding), targets and kinds.

        Position i predicts `targets[i]`, which is -100 where nothing is asked of it.
        """
        start = 1 + PATCHES
        shape = (len(scenes), start + width)
        tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        owner, targets, kinds = np.full(shape, -1, np.int64), np.full(shape, -100, np.int64), np.zeros(shape, np.int64)
        tokens[:, 0], tokens[:, 1:start] = SPECIAL.index("<start>"), self.vocabulary["<image>"]
        positions[:, :start], owner[:, :start] = np.arange(start), 0
        for row, group in enumerate(asked_of):
            at = start
            for number, q in enumerate(group, 1):
                question, answer = ([self.vocabulary[w] for w in t.split()] for t in (q.text, q.answer))
                both = [*question, *answer]
                span = slice(at, at + len(both))
                tokens[row, span], owner[row, span] = both, number
                positions[row, span] = np.arange(start, start + len(both))
                targets[row, at + len(question) - 1 : at + len(both)] = [*answer, SPECIAL.index("<end>")]
                kinds[row, span] = (*QUESTION_KINDS, "describe").index(q.kind)
                at += len(both)
        pixels = np.stack([s.pixels for s in scenes]).transpose(0, 3, 1, 2)
        arrays = {
            "pixels": np.ascontiguousarray(pixels),
            "tokens": tokens,
            "positions": positions,
            "owner": owner,
            "targets": targets,
            "kinds": kinds,
        }
        return {name: torch.from_numpy(a) for name, a in arrays.items()}


@torch.no_grad()
def amplify_positions(model: LlavaForConditionalGeneration, factor: float) -> None:
    """Moves the patches' position embeddings away from their mean by a factor, so that patches know where they are."""
    patches = model.model.vision_tower.embeddings.position_embedding.weight[1:]
    patches.copy_(patches.mean(0) + factor * (patches - patches.mean(0)))


def attention(owner: torch.Tensor) -> torch.Tensor:
    """[b, 1, n, n], True where a token may look: causally, at the picture and at its own question."""
    n = owner.shape[1]
    earlier = torch.ones(n, n, dtype=torch.bool).tril()
    own = owner[:, :, None] == owner[:, None, :]
    return ((own | (owner == 0)[:, None, :]) & earlier)[:, None]


def hidden(model: LlavaForConditionalGeneration, data: dict) -> torch.Tensor:
    """The language model's last hidden states, [b, n, d]: what `model.model(...)` gives, in fewer operations."""
    core = model.model
    layers = core.vision_tower(data["pixels"].float() / 127.5 - 1.0, output_hidden_states=True).hidden_states
    patches = core.multi_modal_projector(layers[core.config.vision_feature_layer][:, 1:])
    words = core.language_model.embed_tokens(data["tokens"])
    inputs = torch.cat([words[:, :1], patches.to(words.dtype), words[:, 1 + PATCHES :]], 1)
    return core.language_model(
        inputs_embeds=inputs,
        attention_mask=attention(data["owner"]),
        position_ids=data["positions"],
        use_cache=False,
    ).last_hidden_state


def exact(logits: torch.Tensor, data: dict, where: torch.Tensor) -> dict[str, float]:
    """Share of questions per kind whose whole answer is the most likely one, token by token: greedy exact match."""
    row, column = where[:, 0], where[:, 1]
    right = logits.argmax(1) == data["targets"][row, column]
    question = row * 1000 + data["owner"][row, column]
    names, number = question.unique(return_inverse=True)
    whole = torch.ones(len(names)).scatter_reduce(0, number, right.float(), "amin")
    kind = torch.zeros(len(names), dtype=torch.long).scatter(0, number, data["kinds"][row, column])
    found = {name: whole[kind == i] for i, name in enumerate(QUESTION_KINDS)}
    found["words of descriptions"] = right[data["kinds"][row, column] == len(QUESTION_KINDS)].float()
    return {name: round(v.mean().item(), 4) for name, v in found.items()}


class Batches(IterableDataset):
    """The batches of these numbers, drawn in a worker process."""

    def __init__(self, numbers: range, size: int, packer: Packer, seed: int = SEED):
        self.numbers, self.size, self.packer, self.seed = numbers, size, packer, seed

    def __iter__(self) -> Iterator[dict]:
        for number in self.numbers:
            scenes = [scene(self.seed, number * self.size + i) for i in range(self.size)]
            dice = Dice(self.seed, number, 29)
            yield self.packer(scenes, [asked(s, dice, TEXT) for s in scenes])


def export(model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the checkpoint in float16 with its processor: `AutoProcessor.from_pretrained(folder)` reads it."""
    half = LlavaForConditionalGeneration(model.config).half()
    half.load_state_dict(model.state_dict())
    half.config.vision_config.dtype = torch.float16
    half.generation_config.update(max_new_tokens=40, do_sample=False, pad_token_id=0, bos_token_id=1, eos_token_id=3)
    half.save_pretrained(folder)
    vision = model.config.vision_config
    LlavaProcessor(
        image_processor(vision.image_size),
        tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    ).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/scenes-vlm"), help="checkpoints, log and the result")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--schedule", type=int, default=SCHEDULE, help="steps until the learning rate has fallen")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--tower", type=float, default=0.3, help="learning rate of the tower, as a share of --lr")
    parser.add_argument("--layer", type=int, default=-1, help="hidden state of the tower that is read")
    parser.add_argument("--layers", type=int, default=4, help="layers of the language model")
    parser.add_argument("--eager", action="store_true", help="no torch.compile (needs no C++ compiler)")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 products (slower on most machines)")
    args = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    world = dist.get_world_size() if dist.is_initialized() else 1
    torch.manual_seed(SEED)
    tokenizer = vlm_tokenizer()
    model = small_vlm(tokenizer, args.layer, args.layers)
    model.model.vision_tower.requires_grad_(args.tower > 0)
    packer = Packer(tokenizer.get_vocab())
    unseen = list(Batches(range(4), 64, packer, HELD_OUT))

    compiled = hidden if args.eager else torch.compile(hidden, dynamic=False)

    def forward(data: dict, states: Callable) -> tuple[torch.Tensor, torch.Tensor]:
        where = (data["targets"] >= 0).nonzero()
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
            return model.lm_head(states(model, data)[where[:, 0], where[:, 1]]).float(), where

    def loss(data: dict, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        if step in AMPLIFY:
            amplify_positions(model, AMPLIFY[step])
        logits, where = forward(data, compiled)
        return F.cross_entropy(logits, data["targets"][where[:, 0], where[:, 1]]), exact(logits, data, where)

    def batches(first: int) -> Iterator[dict]:
        own = range(first * world + rank(), args.steps * world, world)
        return iter(DataLoader(Batches(own, args.batch // world, packer), batch_size=None, num_workers=1))

    @torch.no_grad()
    def report(step: int) -> None:
        rows = []
        for data in unseen:
            logits, where = forward(data, hidden)
            rows.append(exact(logits, data, where))
        mean = {k: round(float(np.mean([r[k] for r in rows])), 4) for k in rows[0]}
        with (args.out / "unseen.jsonl").open("a") as log:
            log.write(json.dumps({"step": step, **mean}) + "\n")

    fit(
        model,
        batches,
        loss,
        steps=args.schedule,
        stop=args.steps,
        out=args.out,
        lr=args.lr,
        report=report,
        pace=lambda name: args.tower if "vision_tower" in name else 1.0,
    )
    if rank() == 0:
        export(model.eval(), tokenizer, args.out / "model")
        print(f"wrote {args.out / 'model'}")


if __name__ == "__main__":
    main()
