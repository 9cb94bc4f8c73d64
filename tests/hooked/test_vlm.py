"""What vision-language models have that single towers do not: windows, packed streams, injected features, logits."""

import pytest
import torch
from torch import Tensor

from tests.tiny_vlm import VLM_TINY, Tiny, packed
from vitreous.errors import HookNotFiredError
from vitreous.hooked import HookedViT, HookedVLM


def tiny(cls: str, note: str = "") -> Tiny:
    return next(t for t in VLM_TINY if t.cls == cls and t.note == note)


def load(cls: str, note: str = "") -> tuple[HookedVLM, dict[str, Tensor]]:
    case = tiny(cls, note)
    return HookedVLM.from_native(case.native()), case.inputs()


def blocks(pattern: Tensor) -> list[int]:
    """Sizes of the blocks along the diagonal; what lies outside of them must be zero."""
    sizes, start, n = [], 0, pattern.shape[-1]
    while start < n:
        end = start + 1
        while end < n and pattern[..., start:end, end:].any():
            end += 1
        assert not pattern[..., start:end, end:].any()
        assert not pattern[..., end:, start:end].any()
        assert pattern[..., start:end, start:end].all()
        sizes.append(end - start)
        start = end
    return sizes


@torch.no_grad()
def test_windows_of_qwen_are_blocks_of_one_pattern_and_can_be_edited() -> None:
    """Images of 4 x 8 and 6 x 4 patches in windows of 4 x 4; the second layer attends to whole images."""
    model, inputs = load("Qwen2_5_VLForConditionalGeneration")
    names = [f"vision.blocks.{i}.attn.hook_pattern" for i in (0, 1)]
    clean, cache = model.run_with_cache(inputs, names_filter=names)
    assert blocks(cache[names[0]]) == [16, 16, 16, 8]
    assert blocks(cache[names[1]]) == [32, 24]
    uniform = torch.ones_like(cache[names[0]]) / 56  # across windows and images
    z, v = (f"vision.blocks.0.attn.hook_{n}" for n in "zv")
    with model.hooks([(names[0], lambda pattern, hook: uniform)]):
        edited, cache = model.run_with_cache(inputs, names_filter=[z, v])
    torch.testing.assert_close(cache[z], cache[v].mean(1, keepdim=True).expand_as(cache[z]))
    assert (edited.logits - clean.logits).abs().max() > 1e-2


@torch.no_grad()
def test_an_edit_within_one_window_stays_there_until_whole_images_are_seen() -> None:
    model = HookedViT.from_native(tiny("Qwen2_5_VisionTransformerPretrainedModel").native())
    names = [f"blocks.{i}.attn.hook_z" for i in (0, 1)]

    def change(x: Tensor, hook: object) -> Tensor:
        return torch.cat([x[:, :16] + torch.randn(1, 16, x.shape[-1]), x[:, 16:]], 1)

    _, clean = model.run_with_cache(packed(), names_filter=names)
    with model.hooks([("blocks.0.hook_resid_pre", change)]):
        _, edited = model.run_with_cache(packed(), names_filter=names)
    moved = [(edited[n] - clean[n]).abs().amax((0, 2, 3)) > 0 for n in names]
    assert moved[0].tolist() == [True] * 16 + [False] * 40
    assert moved[1].tolist() == [True] * 32 + [False] * 24


@torch.no_grad()
def test_what_deepstack_adds_is_the_difference_between_layers() -> None:
    model, inputs = load("Qwen3VLForConditionalGeneration")
    _, cache = model.run_with_cache(inputs, names_filter="*")
    image = inputs["input_ids"] == 7
    for i in (0, 1):
        added = cache[f"language.blocks.{i}.hook_deepstack"]
        assert torch.equal(
            cache[f"language.blocks.{i}.hook_resid_post"] + added, cache[f"language.blocks.{i + 1}.hook_resid_pre"]
        )
        assert not added[~image].any()
        assert torch.equal(added[image], cache[f"connector.deepstack.{i}.hook_out"][0])
    terms, labels = cache.tower("language").decompose_resid(return_labels=True)
    torch.testing.assert_close(terms.sum(0), cache["language.blocks.2.hook_resid_post"], rtol=1e-5, atol=1e-5)
    assert [label for label in labels if "deepstack" in label] == ["0_deepstack", "1_deepstack"]


@torch.no_grad()
def test_without_an_image_nothing_is_injected() -> None:
    model, inputs = load("Qwen3VLForConditionalGeneration")
    text = {"input_ids": torch.tensor([[1, 30, 31, 32]])}
    _, cache = model.language.run_with_cache(text)
    assert "blocks.0.hook_deepstack" not in cache
    with pytest.raises(HookNotFiredError, match="hook_deepstack"):
        model.language.run_with_cache(text, names_filter="*.hook_deepstack")
    _, cache = model.run_with_cache(inputs)
    assert "language.blocks.0.hook_deepstack" not in cache  # ask for it by name


@torch.no_grad()
def test_streams_of_packed_patches_are_shown_as_a_batch_of_one() -> None:
    model = HookedViT.from_native(tiny("Qwen2_5_VisionTransformerPretrainedModel").native())
    resid = model(packed(), stop_at_layer=1)
    _, cache = model.run_with_cache(packed(), names_filter="blocks.1.hook_resid_pre")
    assert resid.shape == (1, 56, 32)
    assert torch.equal(resid, cache["blocks.1.hook_resid_pre"])
    native: list[Tensor] = []
    handle = model.layers[1].register_forward_pre_hook(lambda _, args: native.append(args[0]))
    model(packed())
    handle.remove()
    assert torch.equal(native[0], resid[0])


@torch.no_grad()
def test_capped_logits_are_capped_where_the_native_class_does_it() -> None:
    capped, inputs = load("PaliGemmaForConditionalGeneration", "gemma2")
    assert capped.cfg.logit_softcap == 3.0
    assert capped(inputs).logits.abs().max() <= 3.0
    plain, _ = load("AyaVisionForConditionalGeneration")  # its text config has a logit_scale that nobody applies
    assert plain.cfg.logit_softcap is None
