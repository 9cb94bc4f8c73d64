"""Promise 3: what is said to be added is added, and an edit does what the arithmetic says."""

from typing import Any, no_type_check

import torch
from einops import einsum
from torch import Tensor

from vitreous.hooked.check.subject import Subject, close, distance, disturb, same


@no_type_check
def _layers(case: Subject) -> range:
    return range(case.model.cfg.n_layers)


@no_type_check
def stream_adds_up(case: Subject) -> None:
    """`resid_pre + attn_out = resid_mid`, `resid_mid + mlp_out = resid_post`, and blocks follow one another."""
    cache = case.cache()
    for i in _layers(case):
        pre, mid, post = (cache[f"resid_{n}", i] for n in ("pre", "mid", "post"))
        close(pre + cache["attn_out", i], mid, f"blocks.{i}: resid_pre + attn_out is not resid_mid", 1e-5)
        close(mid + cache["mlp_out", i], post, f"blocks.{i}: resid_mid + mlp_out is not resid_post", 1e-5)
        if i:
            assert torch.equal(pre, cache["resid_post", i - 1]), f"blocks.{i} does not start where the one before ended"
        if "hook_mlp_in" in case.model.family.block:
            assert torch.equal(cache[f"blocks.{i}.hook_mlp_in"], mid)


@no_type_check
def attention_adds_up(case: Subject) -> None:
    """`softmax(scores) = pattern`, `pattern @ v = z`, and the heads' results and bias make the output."""
    cache = case.cache()
    for i in _layers(case):
        scores, pattern, v, z = (cache[n, i] for n in ("attn_scores", "pattern", "v", "z"))
        assert not torch.equal(scores, pattern), "scores carry the pattern"
        close(scores.float().softmax(-1), pattern, f"blocks.{i}: softmax(scores) is not the pattern", 1e-5)
        v = v.repeat_interleave(z.shape[-2] // v.shape[-2], -2)
        close(einsum(pattern, v, "b h q k, b k h d -> b q h d"), z, f"blocks.{i}: pattern @ v is not z", 1e-5)
        attn: Any = case.model.blocks[i].attn
        close(einsum(z, attn.W_O, "b q h e, h e d -> b q h d"), cache["result", i], f"blocks.{i}: z W_O is not result")
        total = cache["result", i].sum(-2) + (0 if attn.b_O is None else attn.b_O)
        total = total if attn.contribution_scale is None else total * attn.contribution_scale
        close(total, cache["attn_out", i], f"blocks.{i}: the heads' results do not add up to attn_out")


@no_type_check
def every_edit_matters(case: Subject) -> None:
    """Noise at each point changes the output, the same way twice and in place; declared inert points change nothing."""
    for name in case.model.points():
        edit = disturb(name)

        def in_place(value: Tensor, edit=edit) -> None:
            value.copy_(edit(value))

        once, inside = case.run({name: edit}), case.run({name: in_place})
        effect = distance(once, case.clean)
        if case.inert(name):
            assert effect == 0, f"{name} is declared inert, and an edit moves the output by {effect:.2g}"
            continue
        assert effect > 1e-3, f"an edit of {name} has no effect"
        if not name.startswith("blocks.0."):
            assert distance(once, case.run({name: edit})) == 0, f"an edit of {name} is not deterministic"
        same(inside, once, f"an edit of {name} in place differs")
    assert distance(case.run(), case.clean) == 0, "the output does not come back"


@no_type_check
def middle(case: Subject) -> None:
    """Adding v at resid_mid is adding v at attn_out; and the edited run still adds up."""
    for i in _layers(case):
        mid, out = f"blocks.{i}.hook_resid_mid", f"blocks.{i}.hook_attn_out"
        v = disturb(mid)(torch.zeros_like(case.cache(mid)[mid]))
        same(case.run({mid: lambda t, v=v: t + v}), case.run({out: lambda t, v=v: t + v}), f"{mid} against {out}")
        cache = case.cache(hooks={mid: disturb(mid)})
        close(cache[mid] + cache["mlp_out", i], cache["resid_post", i], f"after an edit of {mid}", 1e-5)
        norm = case.model.norm(f"blocks.{i}.ln2")
        close(norm(cache[mid]), cache["normalized", i, "ln2"], f"ln2 does not read the edited {mid}")
        zero = case.cache(hooks={out: torch.zeros_like})
        close(zero["resid_mid", i], zero["resid_pre", i], f"without {out} the middle is not the start", 1e-6)
        mlp = case.cache(hooks={f"blocks.{i}.hook_mlp_out": torch.zeros_like})
        close(mlp["resid_post", i], mlp["resid_mid", i], f"without blocks.{i}.hook_mlp_out", 1e-6)


@no_type_check
def results(case: Subject) -> None:
    """Zeroing the result of a head is subtracting its term from attn_out."""
    for i in _layers(case):
        name, out = f"blocks.{i}.attn.hook_result", f"blocks.{i}.hook_attn_out"
        term = case.cache(name)[name][..., 1, :]
        scale = case.model.blocks[i].attn.contribution_scale  # type: ignore[union-attr]
        term = term if scale is None else term * scale

        def without(t: Tensor) -> Tensor:
            return torch.cat([t[..., :1, :], torch.zeros_like(t[..., 1:2, :]), t[..., 2:, :]], -2)

        same(case.run({name: without}), case.run({out: lambda t, term=term: t - term}), f"{name} of one head")


@no_type_check
def patterns(case: Subject) -> None:
    """Editing the pattern is recomputing z by hand; editing scores is editing the pattern to their softmax."""
    for i in _layers(case):
        base = f"blocks.{i}.attn.hook_"
        cache = case.cache([base + n for n in ("attn_scores", "pattern", "v", "z")])
        edited = disturb(base + "pattern")(cache[base + "pattern"])
        v = cache[base + "v"].repeat_interleave(edited.shape[1] // cache[base + "v"].shape[-2], -2)
        z = einsum(edited, v, "b h q k, b k h d -> b q h d")
        by_hand = case.run({base + "z": lambda t, z=z: z})
        same(case.run({base + "pattern": lambda t, e=edited: e}), by_hand, f"{base}pattern against z")
        scores = disturb(base + "attn_scores")(cache[base + "attn_scores"])
        soft = scores.softmax(-1)
        by_hand = case.run({base + "pattern": lambda t, s=soft: s})
        same(case.run({base + "attn_scores": lambda t, s=scores: s}), by_hand, f"{base}attn_scores against pattern")


@no_type_check
def norm_scales(case: Subject) -> None:
    """Doubling a norm's scale halves its output, bias aside; the scale is what the native norm divided by."""
    for key, norm in case.model.norms.items():
        scale, normalized = f"{key}.hook_scale", f"{key}.hook_normalized"
        bias = getattr(norm.module, "bias", None)
        bias = 0.0 if bias is None else bias.detach()
        double, half = {scale: lambda t: t * 2}, {normalized: lambda t, b=bias: (t - b) / 2 + b}
        same(case.run(double), case.run(half), f"doubling {scale}")


@no_type_check
def split_inputs(case: Subject) -> None:
    """A head's own input to q, k or v: the edit equals the projection done by hand."""
    if not case.model.points("blocks.*.hook_q_input"):
        return
    for i in _layers(case):
        block, norm = case.model.blocks[i], case.model.norm(f"blocks.{i}.ln1")
        for letter in "qkv":
            name, target = f"blocks.{i}.hook_{letter}_input", f"blocks.{i}.attn.hook_{letter}"
            stream = case.cache(name)[name]
            edited = disturb(name)(stream)
            weight = getattr(block.attn, f"W_{letter.upper()}")  # type: ignore[union-attr]
            change = einsum(norm(edited) - norm(stream), weight, "b p h d, h d e -> b p h e")
            if case.model.family.rotary and letter != "v":
                continue
            by_hand = case.run({target: lambda t, c=change: t + c})
            same(case.run({name: lambda t, e=edited: e}), by_hand, f"{name} against {target}")
        name = f"blocks.{i}.hook_attn_in"
        all_in = case.run({f"blocks.{i}.hook_{letter}_input": disturb(name) for letter in "qkv"})
        same(case.run({name: disturb(name)}), all_in, f"{name} against the three inputs")
