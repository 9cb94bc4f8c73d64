"""Promise 3: what is said to be added is added, and an edit does what the arithmetic says."""

from typing import Any, no_type_check

import torch
from einops import einsum
from torch import Tensor

from vitreous.hooked.check.subject import Subject, close, distance, disturb, same
from vitreous.hooked.site import ResidMid
from vitreous.hooked.view import VIEWS


@no_type_check
def stream_adds_up(case: Subject) -> None:
    """`resid_pre + attn_out = resid_mid`, `resid_mid + mlp_out = resid_post`, or as the family says; blocks follow."""
    cache, end = case.cache(), None
    for place in case.model.places:
        sums, layer = case.sums(place), place.prefix
        assert sums, f"nothing is said to add up in {layer}"
        for *terms, total in sums:
            close(sum(cache[t] for t in terms), cache[total], f"{' + '.join(terms)} is not {total}", 1e-5, 2)
        first = f"{layer}hook_resid_pre"
        if place.follows:
            assert torch.equal(cache[first], end), f"{first} is not what the layer before it ends with"
        end = cache[place.leaves]
        for added in (f"{layer}{name}" for name in place.between if f"{layer}{name}" in cache.cache_dict):
            assert torch.count_nonzero(cache[added]), f"{added} adds nothing"
            end = end + cache[added]
        if f"{layer}hook_mlp_in" in cache.cache_dict:
            read = [layer + key for key, site in place.block.items() if isinstance(site, ResidMid)][-1]
            assert torch.equal(cache[f"{layer}hook_mlp_in"], cache[read]), f"{layer}hook_mlp_in is not {read}"


@no_type_check
def attention_adds_up(case: Subject) -> None:
    """`softmax(scores) = pattern`, `pattern @ v = z`, and the heads' results and bias make the output."""
    cache = case.cache()
    for place, at, site in case.attentions():
        scores, pattern, v, z = (cache[f"{at}.hook_{n}"] for n in ("attn_scores", "pattern", "v", "z"))
        assert not torch.equal(scores, pattern), "scores carry the pattern"
        close(scores.float().softmax(-1), pattern, f"{at}: softmax(scores) is not the pattern", 1e-5, 2)
        v = v.repeat_interleave(z.shape[-2] // v.shape[-2], -2)
        close(einsum(pattern, v, "b h q k, b k h d -> b q h d"), z, f"{at}: pattern @ v is not z", 1e-5, 4)
        if f"{at}.hook_result" not in cache.cache_dict:
            continue
        group: Any = case.model.get_submodule(at)
        result = cache[f"{at}.hook_result"]
        z = cache[case.read_by_heads(at)].reshape(z.shape)
        z = VIEWS[site.view].hide(group.native, z, (len(result), len(v) * v.shape[1] // len(result)))
        close(einsum(z, group.W_O, "b q h e, h e d -> b q h d"), result, f"{at}: z W_O is not result")
        total = result.sum(-2) + (0 if group.b_O is None else group.b_O)
        total = total if group.contribution_scale is None else total * group.contribution_scale
        total = case.model.norm(place.prefix + site.norm)(total) if site.norm else total
        close(total, cache[place.prefix + site.total], f"{at}: the heads' results do not add up to {site.total}")


@no_type_check
def every_edit_matters(case: Subject) -> None:
    """Noise at each point changes the output, the same way twice and in place; declared inert points change nothing."""
    twice = set(case.sample(-1))
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
        if name in twice:
            assert distance(once, case.run({name: edit})) == 0, f"an edit of {name} is not deterministic"
        same(inside, once, f"an edit of {name} in place differs")
    assert distance(case.run(), case.clean) == 0, "the output does not come back"


@no_type_check
def sums(case: Subject) -> None:
    """Adding v to a sum is adding v to a contribution; without contributions a sum is the stream; edited, it holds."""
    for place in case.model.places:
        for stream, *added, total in case.sums(place):
            v = disturb(total)(torch.zeros_like(case.cache(total)[total]))
            moved = case.run({total: lambda t, v=v: t + v})
            for name in added:
                same(case.run({name: lambda t, v=v: t + v}), moved, f"{total} against {name}")
            zero = case.cache([stream, total], hooks=dict.fromkeys(added, torch.zeros_like))
            close(zero[total], zero[stream], f"without {' and '.join(added)}: {total} is not {stream}", 1e-6, 1)
            cache = case.cache(hooks={total: disturb(total)})
            for *terms, other in case.sums(place):
                if other != total:
                    close(sum(cache[t] for t in terms), cache[other], f"after an edit of {total}: {other}", 1e-5, 2)
            for norm in case.readers(place, total):
                read = case.model.norm(norm)(cache[total])
                close(read, cache[f"{norm}.hook_normalized"], f"{norm} does not read the edited {total}")


@no_type_check
def results(case: Subject) -> None:
    """Zeroing the result of a head is zeroing its z, and subtracting its term from the output."""
    for place, at, site in case.attentions():
        name, z = f"{at}.hook_result", case.read_by_heads(at)
        if name not in case.model.hook_dict:
            continue
        like = case.cache(f"{at}.hook_z")[f"{at}.hook_z"]

        def without(t: Tensor) -> Tensor:
            return torch.cat([t[..., :1, :], torch.zeros_like(t[..., 1:2, :]), t[..., 2:, :]], -2)

        def one_less(t: Tensor, like: Tensor = like) -> Tensor:
            return without(t.reshape(like.shape)).reshape(t.shape)

        removed = case.run({name: without})
        same(removed, case.run({z: one_less}), f"{name} of one head against its z")
        if site.norm:
            continue  # the total is normed before it joins the stream: a head has no term of its own there
        term = case.cache(name)[name][..., 1, :]
        scale = case.model.get_submodule(at).contribution_scale
        term = term if scale is None else term * scale
        same(removed, case.run({place.prefix + site.total: lambda t, term=term: t - term}), f"{name} of one head")


@no_type_check
def patterns(case: Subject) -> None:
    """Editing the pattern is recomputing z by hand; editing scores is editing the pattern to their softmax."""
    for _, at, _ in case.attentions():
        base = f"{at}.hook_"
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
    norms = {p + key: norm for p, tower in case.model.towers().items() for key, norm in tower.norms.items()}
    for key, norm in norms.items():
        scale, normalized = f"{key}.hook_scale", f"{key}.hook_normalized"
        bias = getattr(norm.module, "bias", None)
        bias = 0.0 if bias is None else bias.detach()
        double, half = {scale: lambda t: t * 2}, {normalized: lambda t, b=bias: (t - b) / 2 + b}
        same(case.run(double), case.run(half), f"doubling {scale}")


@no_type_check
def split_inputs(case: Subject) -> None:
    """A head's own input to q, k or v: the edit equals the projection done by hand."""
    for layer in (place.prefix for place in case.model.places):
        if f"{layer}hook_q_input" not in case.model.hook_dict:
            continue
        block, norm = case.model.get_submodule(layer[:-1]), case.model.norm(f"{layer}ln1")
        for letter in "qkv":
            name, target = f"{layer}hook_{letter}_input", f"{layer}attn.hook_{letter}"
            stream = case.cache(name)[name]
            edited = disturb(name)(stream)
            weight = getattr(block.attn, f"W_{letter.upper()}")  # type: ignore[union-attr]
            change = einsum(norm(edited) - norm(stream), weight, "b p h d, h d e -> b p h e")
            if case.tower(layer).family.rotary and letter != "v":
                continue
            by_hand = case.run({target: lambda t, c=change: t + c})
            same(case.run({name: lambda t, e=edited: e}), by_hand, f"{name} against {target}")
        name = f"{layer}hook_attn_in"
        if name not in case.model.hook_dict:
            continue
        all_in = case.run({f"{layer}hook_{letter}_input": disturb(name) for letter in "qkv"})
        same(case.run({name: disturb(name)}), all_in, f"{name} against the three inputs")
