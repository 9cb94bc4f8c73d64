"""The embedded VLM, loaded as a user of plain transformers would load it, against the truth of scenes it never saw."""

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

from vitreous.data.language import NUMBERS, captions, questions
from vitreous.data.scenes import ATTRIBUTES, Dice, Scenes

FOLDER = Path(str(files("vitreous"))) / "pretrained" / "assets" / "scenes-vlm"
KINDS = ("colour-of", "shape-of", "exists", "where", "count")


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return LlavaForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()


def answers(model, processor, images, texts) -> list[str]:
    prompts = [f"<image> {text}" for text in texts]
    inputs = processor(images=images, text=prompts, padding=True, return_tensors="pt")
    new = model.generate(**inputs, do_sample=False)[:, inputs.input_ids.shape[1] :]
    return processor.batch_decode(new, skip_special_tokens=True)


def test_unseen_scenes(model, processor):
    scenes = Scenes(12, seed=990_017)[:]
    pairs = [(s, q) for s in scenes for q in questions(s) if q.kind in KINDS]
    said = answers(model, processor, [s.image for s, _ in pairs], [q.text for _, q in pairs])
    assert min(Counter(q.kind for _, q in pairs).values()) >= 10
    right = [a == q.answer for a, (_, q) in zip(said, pairs, strict=True)]
    assert sum(right) / len(right) >= 0.9
    assert len(set(said)) > 15  # not one answer for all


def test_the_picture_decides(model, processor):
    """The same question about two pictures that differ in one attribute gets two answers."""
    scene = next(s for s in Scenes(50, seed=990_018, n_objects=(1, 1)) if s.objects[0].colour == "red")
    pictures = [scene, scene.edit(0, colour="blue"), scene.edit(0, colour="yellow")]
    text = f"what colour is the {scene.objects[0].shape} ?"
    assert answers(model, processor, [s.image for s in pictures], [text] * 3) == ["red", "blue", "yellow"]


def test_a_description_names_what_is_there(model, processor):
    scene = Scenes(8, seed=990_019, n_objects=(2, 2))[0]
    (said,) = answers(model, processor, [scene.image], ["describe the picture ."])
    for o in scene.objects:
        assert f"{o.colour} {o.shape}" in said
    assert said.endswith(f"on {'an' if scene.background == 'olive' else 'a'} {scene.background} background")


def test_the_chat_template_makes_the_plain_prompt(processor):
    scene, text = Scenes(1, seed=3)[0], "what colour is the ring ?"
    plain = processor(images=scene.image, text=f"<image> {text}", return_tensors="pt")
    content = [{"type": "image", "image": scene.image}, {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    chat = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    for name in ("input_ids", "attention_mask", "pixel_values"):
        assert torch.equal(chat[name], plain[name])
    written = processor(images=scene.image, text=processor.apply_chat_template(messages), return_tensors="pt")
    assert torch.equal(written.input_ids, plain.input_ids)
    expected = ["<start>", *["<image>"] * 64, *text.split()]
    assert processor.tokenizer.convert_ids_to_tokens(plain.input_ids[0]) == expected


def test_every_word_is_known(processor):
    words = {w for values in ATTRIBUTES.values() for w in values} | {*NUMBERS, "describe", "picture", "."}
    for scene in Scenes(200, seed=5):
        for text in (*captions(scene), *(f"{q.text} {q.answer}" for q in questions(scene))):
            words |= set(text.split())
    for text in captions(Scenes(1)[0].remove(0)):
        words |= set(text.split())
    ids = processor.tokenizer(" ".join(sorted(words)), add_special_tokens=False).input_ids
    assert processor.tokenizer.unk_token_id not in ids
    assert len(ids) == len(words)


def test_packed_questions_are_blind_to_each_other(model, processor, monkeypatch):
    """What the recipe trains on equals one prompt per question."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "recipes"))
    recipe = pytest.importorskip("train_scenes_vlm")
    scene = Scenes(1, seed=990_020)[0]
    asked = recipe.asked(scene, Dice(4), recipe.TEXT)
    data = recipe.Packer(processor.tokenizer.get_vocab())([scene], [asked])
    with torch.no_grad():
        packed = recipe.hidden(model, data)[0]
        for number, q in enumerate(asked, 1):
            prompt = processor(images=scene.image, text=f"<image> {q.text} {q.answer}", return_tensors="pt")
            alone = model.model(**prompt).last_hidden_state[0, 1 + recipe.PATCHES :]
            assert (packed[data["owner"][0] == number] - alone).abs().max() < 1e-4
    assert len(asked) > 5


def test_it_is_small_and_reads_patches(model):
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 12e6
    assert model.config.text_config.num_key_value_heads < model.config.text_config.num_attention_heads
    assert model.config.vision_feature_select_strategy == "default"
