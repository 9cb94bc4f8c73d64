"""Images and text to the inputs of a VLM: chat templates, image tokens, several images, and what is refused."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.hooked.layout_cases import CASES
from tests.tiny_processor import picture
from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import HookedVLM

CHAT = (
    "{% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}{{ ' <image> ' }}{% else %}"
    "{{ ' this ' + part['text'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' is' }}{% endif %}"
)


def llava(**changes: Any) -> HookedVLM:
    """A tiny LLaVA with its processor."""
    case = CASES[0]
    processor = case.processor()
    for name, value in changes.items():
        setattr(processor, name, value)
    return HookedVLM.from_native(case.native(), processor)


def words(model: HookedVLM, inputs: Any) -> list[list[str]]:
    """Text tokens of each row."""
    return [[m.token[i] for i in m.index("text")] for m in model.token_map(inputs)]


def test_image_tokens_are_put_in_front_or_where_the_template_says() -> None:
    model = llava()
    inputs = model.preprocess(picture((40, 60)), "where is the ring")
    assert words(model, inputs) == [["where", "is", "the", "ring"]]
    (tokens,) = model.token_map(inputs)
    assert tokens.index("image").tolist() == list(range(16))
    assert tokens.token_id == tuple(inputs["input_ids"][0].tolist())
    model = llava(chat_template=CHAT)
    assert words(model, model.preprocess([picture((40, 60))], "the ring")) == [["this", "the", "ring", "is"]]
    inputs = model.preprocess(picture((40, 60)), "ring <image> red")
    assert words(model, inputs) == [["ring", "red"]]


def test_images_are_shared_out() -> None:
    model, three = llava(), [picture((40, 60)), picture((50, 30), 1), picture((32, 32), 2)]
    sizes = [(40, 60), (50, 30), (32, 32)]
    prompts = ["<image> is red", "what <image> is <image> here", "the ring"]
    by_token = model.preprocess(three, prompts)
    assert by_token.image_sizes == ((sizes[0],), (sizes[1], sizes[2]), ())
    by_row = model.preprocess([three[:1], three[1:], []], prompts)
    assert torch.equal(by_token["pixel_values"], by_row["pixel_values"])
    assert [m.sizes for m in model.token_map(by_row)] == [(sizes[0],), tuple(sizes[1:]), ()]
    one_each = model.preprocess([SimpleNamespace(image=i) for i in three], ["is red", "is here", "is what"])
    assert [len(row) for row in one_each.image_sizes] == [1, 1, 1]
    assert [len(m.index("image")) for m in model.token_map(one_each)] == [16, 16, 16]
    several = model.preprocess(three, "what is here")
    assert len(several.image_sizes[0]) == 3
    assert words(model, model.preprocess(None, "what is here")) == [["what", "is", "here"]]


def test_the_model_takes_what_comes_out_and_nothing_else() -> None:
    model = llava()
    inputs = model.preprocess([picture((40, 60)), picture((60, 40), 1)], ["is red", "what is here"])
    with torch.no_grad():
        assert torch.equal(model(inputs).logits, model.native(**inputs).logits)


def test_the_map_agrees_with_hooks() -> None:
    """A value added at the position of a word or a place is a change of the embedding there and nowhere else."""
    model = llava()
    inputs = model.preprocess(picture((60, 60)), "where is the red ring")
    (tokens,) = model.token_map(inputs)
    position = int(tokens.positions((1, 1, 2, 2))[0])
    assert tokens.pixels(position) == (0, 0, 15, 15)
    name = "language.blocks.0.hook_resid_pre"
    _, cache = model.run_with_cache(inputs, names_filter=[name])
    values = tokens.to_grid(cache[name][0])
    assert torch.equal(values[0, 0], cache[name][0, position])
    assert values.shape == (4, 4, 32)


def test_an_image_may_be_cropped_away_from_what_the_model_sees() -> None:
    """LLaVA crops the middle; with padding to a square, borders are on no pixels."""
    model = llava()
    (tokens,) = model.token_map(model.preprocess(picture((40, 80)), "the ring"))
    assert tokens.box[tokens.index("image")][:, [0, 2]].min() == 20
    assert tokens.box[tokens.index("image")][:, [0, 2]].max() == 60
    assert tokens.positions((0, 0, 19, 40)).tolist() == []
    case = CASES[1]
    model = HookedVLM.from_native(case.native(), case.processor())
    (tokens,) = model.token_map(model.preprocess(picture((40, 80)), "the ring"))
    grid = tokens.to_grid(torch.from_numpy(np.prod(tokens.box[:, 2:] - tokens.box[:, :2], axis=1)))
    assert grid.tolist() == [[0] * 4, [400] * 4, [400] * 4, [0] * 4]
    assert tokens.positions((0, 0, 80, 40)).tolist() == list(range(4, 12))


def test_without_sizes_boxes_are_of_the_resized_image() -> None:
    model = llava()
    inputs = model.preprocess(picture((40, 80)), "the ring")
    (tokens,) = model.token_map(dict(inputs))
    assert tokens.sizes == ((32, 32),)
    assert tokens.pixels(5) == (8, 8, 16, 16)
    (tokens,) = model.token_map(dict(inputs), image_sizes=[[(40, 80)]])
    assert tokens.sizes == ((40, 80),)


@pytest.mark.parametrize(
    ("images", "text", "message"),
    [
        ([picture((8, 8))] * 2, "one <image> only", "1 image tokens .* but 2 images"),
        ([picture((8, 8))] * 3, ["<image> a", "<image> b"], "3 images cannot be shared out among 2 prompts"),
        ([[picture((8, 8))]], ["a", "b"], "given for 1 prompts, but there are 2"),
        (None, "is <image> here", "1 image tokens .* but 0 images"),
        (None, "", "empty and has no image"),
        (picture((8, 8)), [], "a prompt or a list of prompts"),
        ([], "what", "no images were given"),
        ("photo.png", "what", "is a str"),
        (7, "what", "image 0 is a int"),
    ],
)
def test_what_does_not_fit_is_refused(images: Any, text: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        llava().preprocess(images, text)


def test_maps_that_do_not_come_out_even_are_refused() -> None:
    model = llava()
    inputs = model.preprocess(picture((40, 80)), "the ring")
    with pytest.raises(BadInputError, match="only 15 left"):
        model.token_map({**inputs, "input_ids": inputs["input_ids"][:, 1:], "attention_mask": None})
    with pytest.raises(BadInputError, match="1 images are left over"):
        model.token_map(inputs, image_sizes=[[(40, 80), (9, 9)]])
    with pytest.raises(BadInputError, match="16 image tokens of a row belong to no image"):
        model.token_map({"input_ids": inputs["input_ids"]})
    with pytest.raises(BadInputError, match="needs input_ids"):
        model.token_map({"pixel_values": inputs["pixel_values"]})
    with pytest.raises(BadInputError, match="no processor"):
        HookedVLM.from_native(CASES[0].native()).preprocess(None, "what")
    with pytest.raises(UnsupportedError, match="in the sequence"):
        model.key_map(inputs)


def test_a_layout_that_needs_sizes_says_so() -> None:
    from vitreous.hooked.crop import Picture, Setting
    from vitreous.hooked.layout import LAYOUTS

    case = next(case for case in CASES if case.id == "idefics3")
    with pytest.raises(BadInputError, match="depends on its original size"):
        LAYOUTS[case.layout](Picture(), Setting(case.config()))
    with pytest.raises(BadInputError, match="processor's 'size'"):
        LAYOUTS[case.layout](Picture(size=(8, 8)), Setting(case.config()))
