"""Positions of a language model's sequence, what they are and which pixels they show, against native processors."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BlipProcessor,
    Idefics2Config,
    Idefics2ImageProcessorPil,
    Idefics2Processor,
    Kosmos2Config,
    MllamaForConditionalGeneration,
)

from tests.hooked.layout_cases import CASES, Case, mllama_config, mllama_processor, pil
from tests.tiny import redraw
from tests.tiny_processor import IMAGE_TOKEN, embedded, local, picture, tokenizer
from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import HookedVLM, prompt
from vitreous.hooked.crop import Picture, Setting
from vitreous.hooked.cross import key_maps
from vitreous.hooked.families import VLM_FAMILIES
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.layout import LAYOUTS
from vitreous.hooked.sequence import positions, token_maps
from vitreous.hooked.token_map import TokenMap


def maps(case: Case, native: Any, processor: Any, images: Any) -> tuple[prompt.Prompt, list[TokenMap]]:
    """The processor's output and the token maps of its rows."""
    made = prompt.prepare(processor, images, texts(case), case.options)
    setting = Setting(native.config, case.special, prompt.settings(processor, case.options))
    return made, token_maps(made, case.family, setting, processor.tokenizer, made.image_sizes)


def texts(case: Case) -> list[str]:
    """Prompts with words before, between and after the images; of different lengths."""
    if case.layout in ("queries", "florence"):
        return ["where is the red ring"[: 20 - 6 * i] for i in range(len(case.sizes))]
    among = [f" {case.token} and " * len(row) for row in case.sizes]
    return [f"what {images} is where {'the ' * i}" for i, images in enumerate(among)]


def pictures(case: Case) -> list[list[Image.Image]]:
    """Noise of the sizes that the case asks for."""
    return [[picture(size, 10 * i + j) for j, size in enumerate(row)] for i, row in enumerate(case.sizes)]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_placeholders_are_as_many_as_native_ones_and_every_image_has_its_own(case: Case) -> None:
    native, processor = case.native(), case.processor()
    made, found = maps(case, native, processor, pictures(case))
    token = getattr(native.config, case.field)
    for row, (tokens, sizes) in enumerate(zip(found, case.sizes, strict=True)):
        ids = made["input_ids"][row]
        assert tokens.token_id == tuple(ids.tolist())
        placeholders = (ids == token).nonzero().flatten().tolist()
        assert tokens.index("image+newline+query+global+cls").tolist() == placeholders
        assert tokens.index("pad").tolist() == (made["attention_mask"][row] == 0).nonzero().flatten().tolist()
        words = [tokens.token[i] for i in tokens.index("text")]
        assert "what" in words or case.layout in ("queries", "florence")
        assert not [w for w in words if w.startswith(("<i", "<f", "<r", "<|", "[IMG", "TILE", "<g", "<e"))], words
        assert tokens.sizes == sizes
        assert {int(i) for i in tokens.image} == {-1, *range(len(sizes))}
        starts = [int(np.flatnonzero(tokens.image == i)[0]) for i in range(len(sizes))]
        assert starts == sorted(starts)
    with torch.no_grad():
        native(**made, **case.more())  # the native model's own count agrees


def painted(image: Image.Image, box: tuple[float, float, float, float], seed: int) -> Image.Image:
    """The image with other noise in the middle of a box."""
    x0, y0, x1, y1 = box
    left, top = round(x0 + (x1 - x0) * 0.3), round(y0 + (y1 - y0) * 0.3)
    right, bottom = max(left + 1, round(x1 - (x1 - x0) * 0.3)), max(top + 1, round(y1 - (y1 - y0) * 0.3))
    new = np.array(image)
    new[top:bottom, left:right] = 255 - new[top:bottom, left:right]
    return Image.fromarray(new)


LOCAL = [case for case in CASES if case.exact != "none"]


@pytest.mark.parametrize("case", LOCAL, ids=lambda c: c.id)
def test_pixels_reach_the_positions_that_the_map_names_and_no_others(case: Case) -> None:
    """With the tower's attention taken out, pixels in the middle of a position's box change that position's embedding.

    Positions elsewhere stay as they are, but for what resampling spreads (two pixels of the resized image and less).
    """
    native, processor, images = case.native(), case.processor(), pictures(case)
    local(native, case.tower)
    made, found = maps(case, native, processor, images)
    before = embedded(native, made | case.more(), case.language)
    n = 0
    for row, tokens in enumerate(found):
        placed = [int(i) for i in tokens.index("image") if np.prod(tokens.box[i, 2:] - tokens.box[i, :2]) >= 16]
        for position in placed[:: max(1, len(placed) // 4)]:
            image = int(tokens.image[position])
            changed = [list(r) for r in images]
            box = tokens.pixels(position)
            changed[row][image] = painted(images[row][image], box, position)
            new, _ = maps(case, native, processor, changed)
            moved = (embedded(native, new | case.more(), case.language) - before).abs().amax(-1)
            assert moved[[r for r in range(len(found)) if r != row]].max() == 0 if len(found) > 1 else True
            hit = moved[row].numpy() > 1e-6
            assert hit[position], f"{case.id}: {position} did not move"
            spread = 3 * max(max(size) for size in case.sizes[row]) / 32 + 2
            around = (box[0] - spread, box[1] - spread, box[2] + spread, box[3] + spread)
            if case.exact == "exact":
                assert set(np.flatnonzero(hit)) <= set(tokens.positions(around, image).tolist()), (case.id, position)
            same = (tokens.crop == tokens.crop[position]) & (tokens.image == image) & (tokens.row >= 0)
            assert int(np.flatnonzero(same)[moved[row].numpy()[same].argmax()]) == position
            n += 1
    assert n >= 6


def test_florences_positions_follow_its_strides() -> None:
    """The convolutions of the four stages reach 31 pixels from every 32nd: a pixel there moves one position."""
    case = next(case for case in CASES if case.id == "florence2")
    native, processor = case.native(), case.processor()
    local(native, case.tower)
    for name, module in native.get_submodule(case.tower).named_modules():
        if name.endswith(("conv1", "conv2")):
            module.register_forward_hook(lambda module, args, out: out * 0)
    images = [[picture((128, 128))], [picture((128, 128), 1)]]
    made, found = maps(case, native, processor, images)
    tokens, before = found[1], embedded(native, made | case.more(), case.language)
    assert tokens.index("global").tolist() == [int(tokens.index("image")[0]) - 1]
    for position in tokens.index("image")[[0, 6, 9, 15]].tolist():
        x0, y0, _, _ = (int(n) for n in tokens.pixels(position))
        pixels = np.array(images[1][0])
        pixels[y0, x0] = 255 - pixels[y0, x0]
        new, _ = maps(case, native, processor, [images[0], [Image.fromarray(pixels)]])
        moved = (embedded(native, new | case.more(), case.language) - before).abs().amax(-1)[1]
        assert moved.nonzero().flatten().tolist() == [int(tokens.index("global")[0]), position]


def test_mllamas_keys_are_tiles_on_a_padded_canvas() -> None:
    native, processor = redraw(MllamaForConditionalGeneration(mllama_config()).eval()), mllama_processor()
    local(native, "model.vision_model")
    images = [[picture((100, 60)), picture((20, 90), 1)], [picture((40, 40), 2)]]
    family = VLMFamily(name="mllama", classes=(), layout="mark", image_token="image_token_index")

    def keys(pictures: list[list[Image.Image]]) -> tuple[prompt.Prompt, torch.Tensor]:
        made = prompt.prepare(processor, pictures, ["<image> what <image> the", "<image> ring"], {})
        found: list[torch.Tensor] = []
        handle = native.model.language_model.register_forward_pre_hook(
            lambda m, args, kwargs: found.append(kwargs["cross_attention_states"]), with_kwargs=True
        )
        with torch.no_grad():
            native(**made)
        handle.remove()
        return made, found[0].reshape(2, -1, found[0].shape[-1])

    made, before = keys(images)
    setting = Setting(native.config, (), prompt.settings(processor, {}))
    found = key_maps(made, family, setting, made.image_sizes)
    assert [len(tokens) for tokens in found] == [before.shape[1]] * 2
    for row, tokens in enumerate(found):
        n_tiles = made["aspect_ratio_mask"][row].sum(-1)[: len(images[row])]
        assert [len(tokens.crops(i)) for i in range(len(images[row]))] == n_tiles.tolist()
        places = [i for i in tokens.index("image").tolist() if np.prod(tokens.box[i, 2:] - tokens.box[i, :2]) > 16]
        for position in places[::5]:
            changed, image = [list(r) for r in images], int(tokens.image[position])
            changed[row][image] = painted(images[row][image], tokens.pixels(position), position)
            moved = (keys(changed)[1] - before).abs().amax(-1)
            assert (int(moved.argmax()) // moved.shape[1], int(moved.argmax()) % moved.shape[1]) == (row, position)
    marks = token_maps(made, family, setting, processor.tokenizer, made.image_sizes)
    assert [[marks[0].kind[i], int(marks[0].image[i])] for i in (0, 3)] == [["separator", 0], ["separator", 1]]
    with pytest.raises(UnsupportedError, match="in the sequence"):
        key_maps(made, CASES[0].family, setting, made.image_sizes)
    with pytest.raises(BadInputError, match="sizes of the images"):
        key_maps(made, family, setting, None)


def test_frames_of_a_video_follow_one_another() -> None:
    """Qwen: a patch of two frames, merged four to one; in the order (time, row, column) after the merge."""
    case = next(case for case in CASES if case.id == "qwen2vl")
    native = case.native()
    local(native, case.tower)
    steps, height, width = 2, 4, 6
    patches = torch.randn(steps * height * width, 3 * 2 * 64)
    ids = torch.tensor([[1, 8, *[native.config.video_token_id] * 12, 9, 20]])
    types = (ids == native.config.video_token_id).int() * 2
    grid = torch.tensor([[steps, height, width]])
    made = {"input_ids": ids, "pixel_values_videos": patches, "video_grid_thw": grid, "mm_token_type_ids": types}
    (tokens,) = token_maps(made, case.family, Setting(native.config))
    before = embedded(native, made, case.language)
    for step, row, col in ((0, 0, 0), (1, 3, 2), (1, 0, 5), (0, 2, 4)):
        order = torch.arange(steps * height * width).reshape(steps, height // 2, width // 2, 2, 2)
        changed = patches.clone()
        changed[order[step, row // 2, col // 2, row % 2, col % 2]] += 1
        moved = embedded(native, {**made, "pixel_values_videos": changed}, case.language) != before
        (position,) = moved[0].any(-1).nonzero().flatten().tolist()
        assert (tokens.frame[position], tokens.row[position], tokens.col[position]) == (step, row // 2, col // 2)
        x0, y0, x1, y1 = tokens.pixels(position)
        assert x0 <= col * 8 < x1
        assert y0 <= row * 8 < y1
        assert tokens.frames(position) == range(2 * step, 2 * step + 2)
    assert tokens.to_grid(torch.arange(len(tokens))).shape == (2, 2, 3)


def test_a_video_of_llava_onevision_is_pooled_and_ends_in_one_newline() -> None:
    case = next(case for case in CASES if case.id == "llava-onevision")
    native = case.native()
    local(native, case.tower)
    clip = torch.randn(1, 3, 3, 16, 16)
    ids = torch.tensor([[1, *[native.config.video_token_id] * 13, 20]])
    made = {"input_ids": ids, "pixel_values_videos": clip}
    (tokens,) = token_maps(made, case.family, Setting(native.config))
    assert tokens.kind == ("text", *("image",) * 12, "newline", "text")
    before = embedded(native, made, case.language)
    for position in (1, 6, 12):
        x0, y0, x1, y1 = (int(n) for n in tokens.pixels(position))
        changed = clip.clone()
        changed[0, tokens.frame[position], :, y0:y1, x0:x1] += 1
        moved = embedded(native, {**made, "pixel_values_videos": changed}, case.language) != before
        assert moved[0].any(-1).nonzero().flatten().tolist() == [position]


def test_kosmos_2_marks_its_queries_itself() -> None:
    family = VLMFamily(name="kosmos-2", classes=(), layout="queries")
    config = Kosmos2Config(latent_query_num=3)
    ids = torch.tensor([[0, 64003, 4, 5, 6, 64004, 20], [0, 64003, 4, 5, 6, 64004, 1]])
    mask, seen = torch.zeros_like(ids), torch.ones_like(ids)
    mask[:, 2:5] = 1
    seen[1, 6] = 0
    made = {"input_ids": ids, "image_embeds_position_mask": mask, "attention_mask": seen}
    made["pixel_values"] = torch.zeros(2, 3, 8, 8)
    first, second = token_maps(made, family, Setting(config))
    assert first.kind == ("text", "text", "query", "query", "query", "text", "text")
    assert second.kind[-1] == "pad"
    assert first.sizes == ((8, 8),)
    with pytest.raises(BadInputError, match="covers no pixels"):
        first.pixels(2)
    with pytest.raises(BadInputError, match="no crop"):
        first.to_grid(torch.zeros(7))


def test_the_padding_that_unpadding_leaves_is_no_part_of_the_image() -> None:
    """LLaVA-NeXT, by hand: 90 x 40 pixels become 36 x 16 in the middle of 48 x 16, 12 rows of 4 pixels.

    The image fills 9 of the rows, from the middle of one to the middle of another; the native model rounds (12 - 9) / 2
    down to one row on either side, so that 10 stay, which begin 2 pixels (5 of the original's) above the image.
    """
    case = next(case for case in CASES if case.id == "llava-next")
    base, tiles = LAYOUTS["mosaic"](Picture(size=(90, 40)), Setting(case.config(), ("cls",)))
    assert (base.grid, base.box, base.before) == ((4, 4), (0, 0, 40, 90), ())
    assert (tiles.grid, tiles.box) == ((10, 4), (0, -5, 40, 95))
    rows = positions(tiles, (90, 40)).box[::5, [1, 3]]
    literal = [[0, 5], *([10 * i - 5, 10 * i + 5] for i in range(1, 9)), [85, 90]]
    assert np.allclose(rows, literal)


def test_every_family_has_a_layout() -> None:
    assert {family.name: family.layout for family in VLM_FAMILIES if family.layout not in LAYOUTS} == {}


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.cls in {cls for f in VLM_FAMILIES for cls in f.classes}], ids=lambda c: c.id
)
def test_wrapped_models_answer_as_the_layouts_do(case: Case) -> None:
    """The family's own record and the vision tower's own special positions, through `HookedVLM`."""
    native, processor = case.native(), case.processor()
    made, want = maps(case, native, processor, pictures(case))
    model = HookedVLM.from_native(native, processor)
    assert (model.family.layout, model.family.image_token) == (case.layout, case.field)
    inputs = model.preprocess(pictures(case), texts(case), **case.options)
    assert all(torch.equal(inputs[k], v) for k, v in made.items() if isinstance(v, torch.Tensor))
    for found, tokens in zip(model.token_map(inputs), want, strict=True):
        assert found.kind == tokens.kind
        assert np.array_equal(found.box, tokens.box)


def test_a_decoder_that_reads_images_by_cross_attention_alone_has_text_only() -> None:
    """BLIP: no token stands for the image, and the prompt needs none."""
    family = VLMFamily(name="blip", classes=(), layout="outside", image_token="")
    processor = BlipProcessor(pil("Blip", size={"height": 32, "width": 32}), tokenizer(hold=False))
    made = prompt.prepare(processor, [picture((40, 60)), picture((8, 8))], ["the ring is", "where"], {})
    assert made["pixel_values"].shape == (2, 3, 32, 32)
    first, second = token_maps(made, family, Setting(None), processor.tokenizer, made.image_sizes)
    assert first.kind == ("text",) * 3
    assert second.kind == ("pad", "pad", "text")
    assert (first.token, first.sizes) == (("the", "ring", "is"), ())


@pytest.mark.parametrize("splitting", [False, True])
def test_idefics2_has_latents_for_each_quarter_and_the_whole(splitting: bool) -> None:
    images = Idefics2ImageProcessorPil(do_image_splitting=splitting, size={"longest_edge": 32, "shortest_edge": 16})
    words = tokenizer(image_boundary_token="<fake_token_around_image>", end_of_utterance_token="<end_of_utterance>")
    processor = Idefics2Processor(images, words, image_seq_len=3)
    made = processor(text="the <image> red", images=[[picture((40, 60))]], return_tensors="pt")
    config = Idefics2Config(image_token_id=IMAGE_TOKEN, perceiver_config={"resampler_n_latents": 3})
    family = VLMFamily(name="idefics2", classes=(), layout="resampled")
    setting = Setting(config, (), prompt.settings(processor, {}))
    (tokens,) = token_maps(made, family, setting, processor.tokenizer, [[(40, 60)]])
    assert tokens.kind.count("query") == (made["input_ids"] == IMAGE_TOKEN).sum() == (15 if splitting else 3)
    boxes = [(0, 0, 30, 20), (30, 0, 60, 20), (0, 20, 30, 40), (30, 20, 60, 40), (0, 0, 60, 40)]
    assert set(tokens.crop[tokens.index("query")]) == set(range(5 if splitting else 1))
    first = LAYOUTS["resampled"](Picture(size=(40, 60)), setting)
    assert [crop.box for crop in first] == (boxes if splitting else boxes[-1:])
    assert [crop.whole for crop in first] == [False] * (4 if splitting else 0) + [True]
