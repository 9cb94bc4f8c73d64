"""Generation with a KV cache: hooks at chosen steps, activations of every step, against one forward without a cache."""

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tiny import pixels
from tests.tiny_vlm import IMAGE_TOKEN, PAD, VLM_TINY
from vitreous.errors import BadInputError, HookNotFiredError, UnsupportedError
from vitreous.hooked import HookedVLM
from vitreous.hooked.check.subject import disturb

N = 5
GREEDY = {"max_new_tokens": N, "do_sample": False, "eos_token_id": None, "pad_token_id": PAD}
SAMPLED = {**GREEDY, "do_sample": True, "temperature": 1.5, "top_k": 0}
RESID = "language.blocks.0.hook_resid_post"
Inputs = dict[str, Tensor]


@pytest.fixture(scope="module")
def model() -> HookedVLM:
    return HookedVLM.from_native(VLM_TINY[0].native())


def two_and_none() -> Inputs:
    """Two images in the first row, none in the second, which is padded on the left."""
    image = [IMAGE_TOKEN] * 16
    first = [1, 30, *image, 20, *image, 21]
    second = [1, 50, 51, 52, 53]
    ids = torch.tensor([first, [PAD] * (len(first) - len(second)) + second])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "pixel_values": pixels(3)}


def text_only() -> Inputs:
    return {"input_ids": torch.tensor([[1, 50, 51, 52], [1, 60, 61, 62]]), "attention_mask": torch.ones(2, 4).long()}


INPUTS = {"one image each": VLM_TINY[0].inputs, "two and none": two_and_none, "text only": text_only}
every_input = pytest.mark.parametrize("inputs", [make() for make in INPUTS.values()], ids=list(INPUTS))


def forced(model: HookedVLM, inputs: Inputs, out: Tensor) -> Inputs:
    """Prompt and generated tokens, but for the last one, as the input of one forward without a cache."""
    mask = torch.cat([inputs["attention_mask"], torch.ones(len(out), N - 1, dtype=torch.long)], 1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {**inputs, "input_ids": out[:, :-1], "attention_mask": mask, "position_ids": positions}


def full(model: HookedVLM, inputs: Inputs, out: Tensor, **options: Any) -> Any:
    return model.run_with_cache(forced(model, inputs, out), use_cache=False, **options)


@every_input
def test_each_step_is_one_position_of_a_forward_without_a_cache(model: HookedVLM, inputs: Inputs) -> None:
    out, steps = model.generate_with_cache(inputs, names_filter="*", **GREEDY)
    assert torch.equal(out, model.native.generate(**inputs, **GREEDY))
    assert len(steps) == N
    length = inputs["input_ids"].shape[1]
    _, want = full(model, inputs, out, names_filter="language.*")
    real = forced(model, inputs, out)["attention_mask"].bool()
    worst = 0.0
    for name, value in want.items():
        square = name.endswith(("hook_attn_scores", "hook_pattern"))
        value = value.transpose(1, 2) if square else value  # [b, pos, ...]
        stacked = steps.stack(name)
        allowed = stacked > torch.finfo(stacked.dtype).min / 2 if name.endswith("scores") else stacked.isfinite()
        worst = max(worst, float((stacked - value[:, -N:])[allowed].abs().max()))
        if "unembed" in name:
            continue  # native generate asks for the last position's logits only
        whole = steps.concat(name)
        whole = whole.transpose(1, 2) if square else whole
        assert whole.shape == value.shape
        if not square:
            worst = max(worst, float((whole - value)[real].abs().max()))
            assert steps[0][name].shape[1] == length
            assert all(step[name].shape[1] == 1 for step in steps[1:])
    assert worst <= 2e-5  # measured: 7e-6


def test_image_points_are_in_the_first_step_only(model: HookedVLM) -> None:
    _, steps = model.generate_with_cache(two_and_none(), names_filter="*", **GREEDY)
    assert steps[0]["vision.blocks.0.hook_resid_post"].shape[0] == 2
    assert steps[0]["connector.hook_out"].shape == (2, 16, 32)
    assert all(key.startswith("language.") for step in steps[1:] for key in step.cache_dict)
    with pytest.raises(BadInputError, match=r"connector\.hook_out did not fire at step 1"):
        steps.stack("connector.hook_out")
    assert not any(
        key.startswith("vision.") for key in model.generate_with_cache(text_only(), **GREEDY)[1][0].cache_dict
    )
    assert torch.equal(steps.tower("language").stack(("resid_post", 0)), steps.stack(RESID))
    assert len(steps[1:]) == N - 1


@every_input
@pytest.mark.parametrize("options", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_hooks_that_look_leave_the_tokens(model: HookedVLM, inputs: Inputs, options: dict[str, Any]) -> None:
    def run(generate: Any, *args: Any, **kwargs: Any) -> Tensor:
        torch.manual_seed(7)
        return generate(*args, **kwargs, **options)

    native = run(model.native.generate, **inputs)
    look = [("*", lambda t, hook: None)]
    assert torch.equal(run(model.generate, inputs), native)
    assert torch.equal(run(model.generate, inputs, fwd_hooks=look), native)
    torch.manual_seed(7)
    assert torch.equal(model.generate_with_cache(inputs, **options)[0], native)
    with model.hooks(look):
        assert torch.equal(run(model.native.generate, **inputs), native)


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("end", ["hook_resid_pre", "hook_resid_mid", "attn.hook_z", "attn.hook_pattern", "attn.hook_v"])
def test_an_edit_at_a_step_is_the_edit_at_that_position(model: HookedVLM, at: int, end: str) -> None:
    """The logits of step t, after an edit at step t, are those of a forward without a cache and the edit there."""
    inputs, name = VLM_TINY[0].inputs(), f"language.blocks.1.{end}"
    options = {**GREEDY, "return_dict_in_generate": True, "output_logits": True}
    move, axis = disturb(name), 2 if end.endswith("pattern") else 1

    def last(tensor: Tensor, hook: Any) -> Tensor:
        value = tensor.clone()
        value.select(axis, -1).copy_(move(tensor.select(axis, -1).clone()))
        return value

    clean = model.generate(inputs, **options)
    edited = model.generate(inputs, fwd_hooks=[(name, last)], steps=at, **options)
    for t in range(at):
        assert (edited.logits[t] - clean.logits[t]).abs().max() <= 2e-5
    upto = inputs["input_ids"].shape[1] + at
    given = {k: v if k == "pixel_values" else v[:, :upto] for k, v in forced(model, inputs, edited.sequences).items()}
    want = model.run_with_hooks(given, fwd_hooks=[(name, last)], use_cache=False).logits[:, -1]
    rows = slice(1) if end.endswith("pattern") else slice(None)  # the noise lets the second row read its padding
    assert (edited.logits[at] - want)[rows].abs().max() <= 2e-5
    assert (edited.logits[at] - clean.logits[at])[rows].abs().max() > 1e-3


def test_an_edit_of_the_stream_stays_in_the_kv_cache(model: HookedVLM) -> None:
    inputs = VLM_TINY[0].inputs()
    length = inputs["input_ids"].shape[1]
    noise = torch.randn(2, length, 32)
    out, steps = model.generate_with_cache(
        inputs, fwd_hooks=[(RESID, lambda t, hook: t + noise)], steps=0, names_filter="language.*", **GREEDY
    )

    def prompt(tensor: Tensor, hook: Any) -> Tensor:
        return torch.cat([tensor[:, :length] + noise, tensor[:, length:]], 1)

    with model.hooks([(RESID, prompt)]):
        _, want = full(model, inputs, out, names_filter="language.*")
    for name in ("language.blocks.1.hook_resid_post", RESID):
        assert (steps.stack(name) - want[name][:, -N:]).abs().max() <= 2e-5
    assert not torch.equal(out, model.generate(inputs, **GREEDY))


@pytest.mark.parametrize(
    "steps, acted",
    [(None, [0, 1, 2, 3, 4]), (3, [3]), ([0, 4], [0, 4]), (slice(1, None), [1, 2, 3, 4]), (range(2), [0, 1])],
)
def test_steps(model: HookedVLM, steps: Any, acted: list[int]) -> None:
    seen = []
    model.generate(
        VLM_TINY[0].inputs(), fwd_hooks=[(RESID, lambda t, hook: seen.append(hook.step))], steps=steps, **GREEDY
    )
    assert seen == acted


def test_the_step_is_known_in_the_native_generate_and_starts_again(model: HookedVLM) -> None:
    inputs, seen = VLM_TINY[0].inputs(), []
    names = ("vision.blocks.0.hook_resid_pre", "language.hook_embed", "language.unembed.hook_out")
    hooks = [(name, lambda t, hook: seen.append((hook.name, hook.step, model.step))) for name in names]
    want = [(names[0], 0, 0)] + [(name, t, t) for t in range(N) for name in names[1:]]
    with model.hooks(hooks):
        for _ in range(2):
            model.native.generate(**inputs, **GREEDY)
            assert sorted(seen) == sorted(want)
            assert [step for _, step, _ in seen] == [0, *sorted([*range(N), *range(N)])]
            seen.clear()
        model(inputs)
    assert {step for _, step, _ in seen} == {0}


def test_a_given_past_is_step_zero(model: HookedVLM) -> None:
    inputs, seen = VLM_TINY[0].inputs(), []
    first = model.generate(inputs, return_dict_in_generate=True, **GREEDY)
    more = forced(model, inputs, first.sequences)
    ids = torch.cat([first.sequences, torch.tensor([[33, 34], [35, 36]])], 1)
    mask = torch.cat([more["attention_mask"], torch.ones(2, 3, dtype=torch.long)], 1)
    model.generate(
        {"input_ids": ids, "attention_mask": mask},
        past_key_values=first.past_key_values,
        fwd_hooks=[(RESID, lambda t, hook: seen.append((hook.step, t.shape[1])))],
        **GREEDY,
    )
    assert seen == [(0, 3), *((t, 1) for t in range(1, N))]


def test_activations_go_where_they_are_asked_to_and_positions_can_be_left_out(model: HookedVLM) -> None:
    _, steps = model.generate_with_cache(VLM_TINY[0].inputs(), device="meta", names_filter=RESID, **GREEDY)
    assert all(step[RESID].is_meta for step in steps)
    _, steps = model.generate_with_cache(VLM_TINY[0].inputs(), names_filter=RESID, pos_slice=-1, **GREEDY)
    assert [step[RESID].shape[1] for step in steps] == [1] * N
    assert all(step[RESID].untyped_storage().nbytes() == step[RESID].nbytes for step in steps)


def test_what_is_not_one_token_per_step_is_refused(model: HookedVLM) -> None:
    inputs, look = VLM_TINY[0].inputs(), [(RESID, lambda t, hook: None)]
    for options, words in (
        ({"num_beams": 2}, "beam search"),
        ({"use_cache": False}, "KV cache"),
        ({"cache_implementation": "static"}, "empty slots"),
        ({"prompt_lookup_num_tokens": 3}, "prompt lookup"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            model.generate(inputs, fwd_hooks=look, **(GREEDY | options))
        with pytest.raises(UnsupportedError, match=words):
            model.generate_with_cache(inputs, **(GREEDY | options))
    assert model.generate(inputs, **(GREEDY | {"num_beams": 2})).shape[1] == inputs["input_ids"].shape[1] + N


def test_hooks_that_cannot_act_are_refused(model: HookedVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = VLM_TINY[0].inputs()
    look = lambda t, hook: None  # noqa: E731
    with pytest.raises(BadInputError, match="the last step is 4"):
        model.generate(inputs, fwd_hooks=[(RESID, look)], steps=[5, 9], **GREEDY)
    with pytest.raises(BadInputError, match="at step 0"):
        model.generate(inputs, fwd_hooks=[("vision.*", look)], steps=[1, 2], **GREEDY)
    for steps in (-1, [], slice(-2, None)):
        with pytest.raises(BadInputError, match="steps="):
            model.generate(inputs, fwd_hooks=[(RESID, look)], steps=steps, **GREEDY)
    mlp = model.language.layers[0].mlp
    monkeypatch.setattr(mlp, "forward", lambda x: x)  # what is inside is passed by
    with pytest.raises(HookNotFiredError, match=r"language\.blocks\.0\.mlp\.hook_post"):
        model.generate(inputs, fwd_hooks=[("language.blocks.0.mlp.hook_post", look)], **GREEDY)
    assert not mlp.down_proj._forward_pre_hooks


def test_nothing_is_left_behind(model: HookedVLM) -> None:
    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(o), Tensor) for o in gc.get_objects())

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.native.modules())

    inputs = VLM_TINY[0].inputs()

    def once() -> None:
        model.generate_with_cache(inputs, names_filter=RESID, **GREEDY)
        with pytest.raises(ZeroDivisionError):
            model.generate(inputs, fwd_hooks=[("*", lambda t, hook: None), (RESID, lambda t, hook: 1 / 0)], **GREEDY)

    model.generate_with_cache(inputs, names_filter="*", **GREEDY)
    once()  # transformers collects hidden states with hooks that it leaves there, and keeps what an exception broke off
    before, native_hooks = tensors(), hooks()
    once()
    once()
    assert tensors() <= before
    assert hooks() == native_hooks
