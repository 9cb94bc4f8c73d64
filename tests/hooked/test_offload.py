"""Models larger than one device: layers on several devices or offloaded by accelerate, and what a cache costs."""

import gc
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import Tensor, nn

from tests.hooked.test_model import tiny
from tests.tiny import pixels
from tests.tiny_vlm import PAD, VLM_TINY
from vitreous.hooked import HookedCLIP, HookedViT, HookedVLM
from vitreous.hooked.check.subject import disturb

GREEDY = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": PAD}
LLAVA_MAP = {
    "model.vision_tower": "cpu",
    "model.multi_modal_projector": "disk",
    "model.language_model.embed_tokens": "cpu",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.norm": "disk",
    "model.language_model.rotary_emb": "cpu",
    "lm_head": "disk",
}


def dispatched(native: nn.Module, folder: Path) -> nn.Module:
    return dispatch_model(native, LLAVA_MAP, main_device="cpu", offload_dir=str(folder))


WAYS: dict[str, Callable[[nn.Module, Path], nn.Module]] = {
    "cpu": lambda native, folder: cpu_offload(native),
    "disk": lambda native, folder: disk_offload(native, str(folder)),
    "dispatched": dispatched,
}
BUILT: dict[str, Callable[[], Any]] = {
    "LlavaForConditionalGeneration": lambda: HookedVLM.from_native(VLM_TINY[0].native()),
    "ViTForImageClassification": lambda: HookedViT.from_native(tiny("ViTForImageClassification").native()),
    "BeitModel": lambda: HookedViT.from_native(tiny("BeitModel").native()),
    "Dinov2Model": lambda: HookedViT.from_native(tiny("Dinov2Model").native()),
}
CASES = [(cls, way) for cls in BUILT for way in WAYS if way != "dispatched" or "Llava" in cls]


def given(model: Any) -> Any:
    return VLM_TINY[0].inputs() if isinstance(model, HookedVLM) else pixels()


def logits(out: Any) -> Tensor:
    return out.logits if "logits" in out else out.last_hidden_state


@pytest.mark.parametrize("cls, way", CASES)
def test_an_offloaded_model_shows_and_takes_what_the_whole_one_does(cls: str, way: str, tmp_path: Path) -> None:
    whole, away = BUILT[cls](), BUILT[cls]()
    WAYS[way](away.native, tmp_path)
    away = type(away).from_native(away.native)
    assert (away.device, away.dtype) == (torch.device("cpu"), torch.float32)
    inputs = given(whole)
    with torch.no_grad():
        assert torch.equal(logits(away(inputs)), logits(whole(inputs)))
        (_, got), (_, want) = (m.run_with_cache(inputs, names_filter="*", device="cpu") for m in (away, whole))
        assert list(got.keys()) == whole.points() == list(want.keys())
        assert not [name for name in want.cache_dict if not torch.equal(got[name], want[name])]
        for name in whole.points():
            if ".1." in name and ".0." not in name:
                continue
            edit = disturb(name)
            pair = [m.run_with_hooks(inputs, fwd_hooks=[(name, lambda t, hook, e=edit: e(t))]) for m in (away, whole)]
            assert torch.equal(*map(logits, pair)), name
    assert all(p.is_meta for p in away.native.parameters()) == (way != "dispatched")
    left = [[(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in x.native.modules()] for x in (away, whole)]
    assert left[0] == left[1]  # transformers' own, that collect hidden states


@pytest.mark.parametrize("cls, way", CASES)
def test_weights_of_an_offloaded_model_are_copies_of_those_that_were_put_away(
    cls: str, way: str, tmp_path: Path
) -> None:
    whole, away = BUILT[cls](), BUILT[cls]()
    WAYS[way](away.native, tmp_path)
    prefix = "language." if isinstance(whole, HookedVLM) else ""
    for i, name in itertools.product(range(2), ("W_O", "b_O", "W_Q", "W_K", "W_V", "contribution_scale")):
        want, got = (getattr(m.get_submodule(f"{prefix}blocks.{i}.attn"), name) for m in (whole, away))
        assert (want is None and got is None) or torch.equal(got, want), name
    stream = torch.randn(2, 5, 32)
    for key in (f"{prefix}blocks.1.ln1", f"{prefix}ln_final"):
        assert torch.equal(away.norm(key)(stream), whole.norm(key)(stream))
        assert torch.equal(away.norm(key).gain, whole.norm(key).gain)
    if prefix:
        assert torch.equal(away.language.W_U, whole.language.W_U)
        assert torch.equal(away.language.to_logits(stream), whole.language.to_logits(stream))
    assert any(p.is_meta for p in away.native.parameters())


@pytest.mark.parametrize("way", list(WAYS))
def test_an_offloaded_model_generates_with_hooks(way: str, tmp_path: Path) -> None:
    whole, away = (HookedVLM.from_native(VLM_TINY[0].native()) for _ in range(2))
    WAYS[way](away.native, tmp_path)
    inputs, name = VLM_TINY[0].inputs(), "language.blocks.1.attn.hook_result"
    edit = {"fwd_hooks": [(name, lambda t, hook: t * 2)], "steps": [0, 2]}
    got, steps = away.generate_with_cache(inputs, names_filter=name, **edit, **GREEDY)
    want, wanted = whole.generate_with_cache(inputs, names_filter=name, **edit, **GREEDY)
    assert torch.equal(got, want)
    assert torch.equal(steps.stack(name), wanted.stack(name))


def test_a_dual_encoder_offloaded_keeps_its_scale() -> None:
    whole, away = (HookedCLIP.from_native(tiny("CLIPModel").native()) for _ in range(2))
    cpu_offload(away.native)
    assert torch.equal(away.logit_scale, whole.logit_scale)
    assert away.native.logit_scale.is_meta


def test_a_dispatched_model_does_not_move(tmp_path: Path) -> None:
    model = HookedVLM.from_native(dispatched(VLM_TINY[0].native(), tmp_path))
    for each in (model, model.native):
        with pytest.raises(RuntimeError, match="can't move a model"):
            each.to("cpu")
    assert HookedVLM.from_native(VLM_TINY[0].native()).to(torch.bfloat16).dtype == torch.bfloat16


def test_hooks_act_on_the_device_of_their_layer() -> None:
    """Meta stands in for a second device: data are lost on it, places are not."""
    model = HookedViT.from_native(tiny("ViTModel").native())
    second = model.layers[1]
    for module in (second, model.native.layernorm, model.native.pooler):
        add_hook_to_module(module.to("meta"), AlignDevicesHook(execution_device="meta"))
    assert model.device == torch.device("cpu")
    x, names = pixels(), ["blocks.1.attn.hook_z", "blocks.1.hook_resid_mid", "blocks.1.hook_mlp_out"]
    edits = [(name, lambda t, hook: t + torch.ones_like(t)) for name in names]
    with torch.no_grad(), model.hooks(edits):
        out, cache = model.run_with_cache(x, names_filter=["*.hook_resid_*", *names])
    assert out.last_hidden_state.is_meta
    where = {name: value.device.type for name, value in cache.items()}
    assert {where[name] for name in where if ".0." in name} == {"cpu"}
    assert where.pop("blocks.1.hook_resid_pre") == "cpu"  # it enters the layer where the one before left it
    assert {where[name] for name in where if ".1." in name} == {"meta"}


def storages(values: Any) -> int:
    """Bytes that tensors hold, each storage counted once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in values}.values())


def live() -> Iterator[Tensor]:
    gc.collect()
    return (o for o in gc.get_objects() if issubclass(type(o), Tensor) and not o.is_meta and not o.is_sparse)


@pytest.mark.parametrize("cls", ["LlavaForConditionalGeneration", "ViTForImageClassification"])
def test_a_cache_holds_what_was_asked_for_and_nothing_else_is_kept(cls: str) -> None:
    model = BUILT[cls]()
    inputs, tower = given(model), "language." if "Llava" in cls else ""
    names = [f"{tower}blocks.{i}.{n}" for i in range(2) for n in ("hook_resid_post", "attn.hook_z", "mlp.hook_post")]
    with torch.no_grad():
        model.run_with_cache(inputs, names_filter="*")
        model.run_with_cache(inputs, names_filter=names)  # once before: what is kept for good is no part of a cache
        before = storages(live())
        cache = model.run_with_cache(inputs, names_filter=names)[1]
        assert storages(live()) - before == sum(v.nbytes for v in cache.values()) == storages(cache.values())
        del cache
        assert storages(live()) <= before
        with model.hooks([("*", lambda t, hook: t * 1.0)]):
            model(inputs)
            assert storages(live()) <= before, "an edit outlives its forward"
        assert storages(live()) <= before


def test_an_activation_that_is_moved_is_moved_once() -> None:
    """What leaves one block enters the next: two names, one tensor, wherever it goes."""
    model = BUILT["ViTForImageClassification"]()
    names = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"]
    with torch.no_grad():
        for device in (None, "meta", "cpu"):
            cache = model.run_with_cache(pixels(), names_filter=names, device=device)[1]
            one, other = (cache[name] for name in names)
            assert one.data_ptr() == other.data_ptr()
            assert device != "meta" or one is other
        edits = [(names[0], lambda t, hook: t.mul_(2)), (names[1], lambda t, hook: t.mul_(2))]
        with model.hooks(edits):  # each copy is of what was there
            cache = model.run_with_cache(pixels(), names_filter=names)[1]
        assert torch.equal(cache[names[0]] * 2, cache[names[1]])
