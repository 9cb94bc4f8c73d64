"""Arithmetic on a cache: names, decomposition, head results, norms and direct logit attribution."""

import pytest
import torch
from torch import Tensor

from tests.hooked.test_model import tiny
from tests.tiny import pixels
from vitreous.errors import BadInputError, UnknownNameError
from vitreous.hooked import ActivationCache, HookedCLIP, HookedViT

CLASSES = ("ViTForImageClassification", "Dinov2Model", "CLIPModel")


def run(cls: str) -> tuple[HookedViT, ActivationCache]:
    model = HookedViT.from_native(tiny(cls).native())
    with torch.no_grad():
        return model, model.run_with_cache(pixels())[1]


def near(a: Tensor, b: Tensor) -> bool:
    a, b = a.detach(), b.detach()
    return bool((a - b).abs().max() <= 2e-4 * max(1.0, float(b.abs().max())))


def test_shorthand_names() -> None:
    _, cache = run("CLIPModel")
    assert cache["resid_post", 1] is cache["blocks.1.hook_resid_post"]
    assert cache["resid_post", -1] is cache["blocks.1.hook_resid_post"]
    assert cache["q1"] is cache["blocks.1.attn.hook_q"]
    assert cache["normalized", 0, "ln2"] is cache["blocks.0.ln2.hook_normalized"]
    assert cache["hook_post_head_pre_normalize"] is cache["hook_post_proj"]
    with pytest.raises(UnknownNameError, match="names_filter"):
        cache["resid_post", 7]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_stream_is_the_sum_of_its_terms(cls: str) -> None:
    _, cache = run(cls)
    for layer in (0, 1, 2, None):
        terms, labels = cache.decompose_resid(layer, return_labels=True)
        stream = cache["resid_post", 1] if layer in (2, None) else cache["resid_pre", layer]
        assert near(terms.sum(0), stream)
        assert len(labels) == len(terms)
    mid = cache.decompose_resid(1, mlp_input=True)
    assert near(mid.sum(0), cache["resid_mid", 1])
    assert labels == ["embed", "0_attn_out", "0_mlp_out", "1_attn_out", "1_mlp_out"]
    both = cache.decompose_resid(mode="attn", incl_embeds=False).sum(0)
    both = both + cache.decompose_resid(mode="mlp", incl_embeds=False).sum(0) + cache["resid_pre", 0]
    assert near(both, cache["resid_post", 1])


@pytest.mark.parametrize("cls", CLASSES)
def test_head_results_and_the_rest_make_the_stream(cls: str) -> None:
    model, cache = run(cls)
    heads, labels = cache.stack_head_results(return_labels=True, incl_remainder=True)
    assert labels[:5] == ["L0H0", "L0H1", "L0H2", "L0H3", "L1H0"]
    assert labels[-1] == "remainder"
    assert near(heads.sum(0), cache["resid_post", 1])
    attn = model.blocks[0].attn  # type: ignore[union-attr]
    scale = attn.contribution_scale
    bias = attn.b_O if scale is None else attn.b_O * scale
    assert near(heads[:4].sum(0) + bias, cache["attn_out", 0])
    with torch.no_grad():
        _, direct = model.run_with_cache(pixels(), names_filter=lambda n: "ln1" not in n)
    assert near(direct.stack_head_results(1), cache.stack_head_results(1))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_norm_splits_over_the_terms(cls: str) -> None:
    """The terms' images add up to the norm's output less its bias, in a block and at the end."""
    model, cache = run(cls)
    terms = cache.decompose_resid(1, apply_ln=True)
    norm = model.norm("blocks.1.ln1").module
    assert near(terms.sum(0) + norm.bias, cache["normalized", 1, "ln1"])
    final = cache.decompose_resid(pos_slice=0, apply_ln=True).sum(0) + model.norm("ln_final").module.bias
    want = cache["hook_ln_final"]
    assert near(final[:, 0], want if want.dim() == 2 else want[:, 0])


def test_direct_logit_attribution_adds_up_to_the_logits() -> None:
    model = HookedViT.from_native(tiny("ViTForImageClassification").native())
    with torch.no_grad():
        out, cache = model.run_with_cache(pixels())
    head, norm = model.native.classifier, model.norm("ln_final").module
    terms, labels = cache.decompose_resid(pos_slice=0, return_labels=True)
    by_term = cache.logit_attrs(terms, head.weight)
    assert by_term.shape == (len(labels), 2, 1, 5)
    constant = norm.bias @ head.weight.T + head.bias
    assert near(by_term.sum(0)[:, 0] + constant, out.logits)
    assert near(cache.logit_attrs(terms, head.weight[3]), by_term[..., 3])


def test_direct_logit_attribution_of_clip_towards_text() -> None:
    model = HookedCLIP.from_native(tiny("CLIPModel").native())
    with torch.no_grad():
        out, cache = model.vision.run_with_cache(pixels())
        text = torch.nn.functional.normalize(torch.randn(3, 16), dim=-1)
        directions = text @ model.native.visual_projection.weight
        terms = cache.decompose_resid(pos_slice=0)
        by_term = cache.logit_attrs(terms, directions)
        constant = model.vision.norm("ln_final").module.bias @ directions.T
        assert near(by_term.sum(0)[:, 0] + constant, out.pooler_output @ text.T)
    with pytest.raises(BadInputError, match="pos_slice=0"):
        cache.apply_ln_to_stack(cache.decompose_resid())


def test_the_lens_reads_each_layer() -> None:
    _, cache = run("ViTForImageClassification")
    stack, labels = cache.accumulated_resid(incl_mid=True, return_labels=True)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid", "final_post"]
    assert torch.equal(stack[-1], cache["resid_post", 1])
    lens = cache.apply_ln_to_stack(stack, recompute_ln=True)
    assert near(lens[-1], cache["hook_ln_final"])


def test_a_cache_of_two_towers_splits() -> None:
    case = tiny("CLIPModel", "text")
    model = HookedCLIP.from_native(case.native())
    with torch.no_grad():
        _, cache = model.run_with_cache(pixels(), case.inputs(), names_filter="*.hook_resid_*")
    assert cache["vision.blocks.0.hook_resid_post"] is cache.tower("vision")["resid_post", 0]
    assert cache.tower("text")["resid_post", 0].shape[1] == 7


def test_bad_layers() -> None:
    _, cache = run("CLIPModel")
    with pytest.raises(BadInputError, match="has 2 layers"):
        cache.decompose_resid(5)
    with pytest.raises(BadInputError, match="no terms"):
        cache.decompose_resid(0, incl_embeds=False)
