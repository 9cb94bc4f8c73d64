"""Hooks, contexts, names and caches on a wrapped model."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tiny import TINY, Tiny, pixels
from vitreous.errors import BadInputError, HookNotFiredError, UnknownNameError
from vitreous.hooked import HookedCLIP, HookedViT


def tiny(cls: str, kind: str = "vision") -> Tiny:
    return next(t for t in TINY if t.cls == cls and t.kind == kind)


@pytest.fixture
def vit() -> HookedViT:
    return HookedViT.from_native(tiny("ViTForImageClassification").native())


def zero(tensor: Tensor, hook: Any) -> Tensor:
    return torch.zeros_like(tensor)


def test_points_are_in_execution_order_and_named_like_transformerlens(vit: HookedViT) -> None:
    assert vit.points("blocks.0.*") == [
        f"blocks.0.{name}"
        for name in (
            *("hook_resid_pre", "hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input"),
            *("ln1.hook_scale", "ln1.hook_normalized"),
            *(f"attn.hook_{n}" for n in ("q", "k", "v", "attn_scores", "pattern", "z", "result")),
            *("hook_attn_out", "hook_resid_mid", "hook_mlp_in", "ln2.hook_scale", "ln2.hook_normalized"),
            *("mlp.hook_pre", "mlp.hook_post", "hook_mlp_out", "hook_resid_post"),
        )
    ]
    ends = [name for name in vit.points() if not name.startswith("blocks.")]
    assert ends == [
        *("hook_embed", "hook_pos_embed", "hook_full_embed"),
        *("ln_final.hook_scale", "ln_final.hook_normalized", "hook_ln_final", "head.hook_in", "head.hook_out"),
    ]


def test_names_filters(vit: HookedViT) -> None:
    x = pixels()

    def cached(names_filter: Any) -> list[str]:
        return list(vit.run_with_cache(x, names_filter=names_filter)[1].keys())

    assert cached("blocks.1.hook_resid_post") == ["blocks.1.hook_resid_post"]
    assert cached(["blocks.1.hook_resid_post", "hook_embed"]) == ["hook_embed", "blocks.1.hook_resid_post"]
    assert cached("blocks.*.hook_mlp_out") == ["blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"]
    assert cached(lambda name: name.endswith("pattern")) == [f"blocks.{i}.attn.hook_pattern" for i in (0, 1)]
    assert cached("*") == vit.points()
    usual = cached(None)
    assert "blocks.0.attn.hook_z" in usual
    assert "blocks.0.attn.hook_result" not in usual
    with pytest.raises(UnknownNameError, match=r"did you mean 'blocks\.1\.hook_resid_post'"):
        cached("blocks.1.hook_resid_pst")
    with pytest.raises(UnknownNameError):
        cached("blocks.9.*")
    with pytest.raises(UnknownNameError):
        vit.run_with_hooks(x, fwd_hooks=[("blocks.0.attn.hook_queue", zero)])


def test_nested_contexts_remove_their_own_hooks_only(vit: HookedViT) -> None:
    x, name = pixels(), "blocks.1.hook_attn_out"
    clean = vit(x).logits
    with vit.hooks([(name, zero)]):
        edited = vit(x).logits
        with vit.hooks([("blocks.0.hook_mlp_out", zero)]):
            assert not torch.equal(vit(x).logits, edited)
        vit.run_with_cache(x)
        assert torch.equal(vit(x).logits, edited)
    assert torch.equal(vit(x).logits, clean)


def test_a_hook_may_prepend_be_permanent_or_refuse(vit: HookedViT) -> None:
    x, name, order = pixels(), "blocks.0.hook_resid_post", []
    vit.add_hook(name, lambda t, hook: order.append("a"))
    vit.add_hook(name, lambda t, hook: order.append("b"), prepend=True)
    vit.add_hook(name, lambda t, hook: order.append("permanent"), is_permanent=True)
    vit(x)
    assert order == ["b", "a", "permanent"]
    vit.reset_hooks()
    vit(x)
    assert order[3:] == ["permanent"]
    vit.reset_hooks(including_permanent=True)
    vit(x)
    assert len(order) == 4


def test_the_native_module_runs_hooked_inside_a_context(vit: HookedViT) -> None:
    x, name = pixels(), "blocks.0.attn.hook_pattern"
    clean = vit.native(x).logits
    with vit.hooks([(name, lambda t, hook: t.flip(-1))]):
        edited = vit.native(x).logits
        assert torch.equal(edited, vit(x).logits)
    assert not torch.allclose(edited, clean)
    assert torch.equal(vit.native(x).logits, clean)


def test_a_point_that_never_fires_is_an_error(vit: HookedViT, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = vit.layers[0], pixels()
    monkeypatch.setattr(layer, "forward", lambda hidden, *args, **kwargs: hidden)  # attention is skipped
    with pytest.raises(HookNotFiredError, match=r"blocks\.0\.attn\.hook_z"):
        vit.run_with_hooks(x, fwd_hooks=[("blocks.0.attn.hook_z", zero)])
    with pytest.raises(HookNotFiredError), vit.hooks([("blocks.0.attn.hook_z", zero)]):
        vit.native(x)
    vit.run_with_hooks(x, fwd_hooks=[("blocks.1.attn.hook_z", zero)])
    assert not layer._forward_hooks


def test_a_point_after_the_stop_is_no_error(vit: HookedViT) -> None:
    x = pixels()
    with vit.hooks([("blocks.1.hook_resid_post", zero)]):
        stream, cache = vit.run_with_cache(x, stop_at_layer=1)
    assert torch.equal(stream, cache["resid_post", 0])
    assert torch.allclose(vit(x, stop_at_layer=-1), stream, atol=2e-5)
    with pytest.raises(BadInputError, match="has 2 layers"):
        vit(x, stop_at_layer=3)


def test_backward_hooks_and_incl_bwd(vit: HookedViT) -> None:
    x, kept = pixels(), {}
    with vit.hooks(bwd_hooks=[("blocks.0.hook_resid_post", lambda g, hook: kept.update({hook.name: g}))]):
        vit(x).logits.sum().backward()
    assert kept["blocks.0.hook_resid_post"].shape == (2, 17, 32)


def test_pos_slice_device_and_batch_axis(vit: HookedViT) -> None:
    x = pixels(batch=1)
    _, whole = vit.run_with_cache(x)
    _, cls = vit.run_with_cache(x, pos_slice=0, remove_batch_dim=True, device="cpu")
    assert torch.equal(cls["resid_post", 1], whole["resid_post", 1][0, :1])
    assert torch.equal(cls["q", 1], whole["q", 1][0, :1])
    assert torch.equal(cls["pattern", 1], whole["pattern", 1][0, :, :1])
    with pytest.raises(BadInputError, match="batch of one"):
        vit.run_with_cache(pixels(), remove_batch_dim=True)


def test_nan_stays_nan(vit: HookedViT) -> None:
    x = pixels()
    x[0, 0, 0, 0] = float("nan")
    out, cache = vit.run_with_cache(x)
    assert out.logits[0].isnan().all()
    assert cache["resid_pre", 0][0, 1].isnan().any()
    assert not out.logits[1].isnan().any()


def test_state_dict_is_the_native_one_and_moves_reach_the_native_module(vit: HookedViT) -> None:
    assert vit.state_dict().keys() == vit.native.state_dict().keys()
    vit.double()
    assert vit.dtype == torch.float64 == next(vit.native.parameters()).dtype
    assert vit(pixels()).logits.dtype == torch.float64
    vit.train()
    assert vit.native.training


def test_bfloat16_equals_eager_bfloat16() -> None:
    model = HookedViT.from_native(tiny("CLIPVisionModel").native().bfloat16())
    with torch.no_grad():
        out, cache = model.run_with_cache(pixels(), names_filter="*")
        model.native.config._attn_implementation_internal = "eager"
        eager = model(pixels())
    assert torch.equal(out.last_hidden_state, eager.last_hidden_state)
    assert cache["q", 0].dtype == torch.bfloat16


def test_collected_hidden_states_see_the_edit() -> None:
    """transformers collects hidden states with hooks of its own, installed by the first run that asks for them."""
    model = HookedViT.from_native(tiny("CLIPVisionModel").native())
    with torch.no_grad():
        model(pixels(), output_hidden_states=True)
        out = model.run_with_hooks(pixels(), fwd_hooks=[("blocks.0.hook_resid_post", zero)], output_hidden_states=True)
    assert out.hidden_states[1].abs().max() == 0


def test_attentions_asked_for_are_the_patterns() -> None:
    model = HookedViT.from_native(tiny("CLIPVisionModel").native())
    out, cache = model.run_with_cache(pixels(), output_attentions=True)
    assert torch.equal(out.attentions[1], cache["pattern", 1])


def test_bad_pixels(vit: HookedViT) -> None:
    with pytest.raises(BadInputError, match=r"model\.preprocess"):
        vit(torch.zeros(3, 32, 32))


def test_wiring_is_there_only_while_needed(vit: HookedViT) -> None:
    def n_hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in vit.native.modules())

    point = vit.blocks[0].attn.hook_pattern  # type: ignore[union-attr]
    assert n_hooks() == 0
    assert vit.native.config._attn_implementation == "sdpa"
    point.add_hook(lambda t, hook: None)
    assert vit.layers[0].attention.__dict__.get("_vitreous_points")
    assert vit.native.config._attn_implementation == "vitreous_sdpa"
    point.remove_hooks()
    assert n_hooks() == 0
    assert vit.native.config._attn_implementation == "sdpa"
    assert "_vitreous_points" not in vit.layers[0].attention.__dict__


def test_towers_share_points_under_two_names() -> None:
    model = HookedCLIP.from_native(tiny("CLIPModel").native())
    seen: list[str] = []
    name = "blocks.0.hook_resid_post"
    with model.hooks([(f"vision.{name}", lambda t, hook: seen.append(hook.name))]):
        model.vision(pixels())
        with model.vision.hooks([(name, lambda t, hook: seen.append(hook.name))]):
            model.vision(pixels())
        model.vision(pixels())
    assert seen == [f"vision.{name}", f"vision.{name}", name, f"vision.{name}"]
