"""What reads the stream is the arithmetic that lenses and attribution do: norms as gain and bias, logits as `W_U`."""

from typing import no_type_check

import torch

from vitreous.hooked.attach import norm_scale
from vitreous.hooked.check.subject import Subject, close, tensors
from vitreous.hooked.vlm import HookedVLM


@no_type_check
def norms(case: Subject) -> None:
    """`(x - mean) / scale * gain + bias` is what the native norm makes of x; only LayerNorm has a mean to subtract."""
    cache = case.cache([name for name in case.model.points() if name.endswith(".hook_normalized")])
    for prefix, tower in case.model.towers().items():
        for key, norm in tower.norms.items():
            name = f"{prefix}{key}.hook_normalized"
            if name not in cache.cache_dict:
                continue
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(3, 5, cache[name].shape[-1], generator=generator).to(cache[name]) + 0.5
            centred = x - x.mean(-1, keepdim=True) if norm.centred else x
            with torch.no_grad():
                made = centred / norm_scale(norm.module, x) * norm.gain + norm.bias
                close(made, norm(x), f"{prefix}{key}: gain and bias are not the native norm's", 1e-5)


@no_type_check
def logits(case: Subject) -> None:
    """Final norm, `W_U` and soft-cap of the last stream are the native logits."""
    if not isinstance(case.model, HookedVLM):
        return
    language = case.model.language
    last, normed, read = f"language.{language.places[-1].leaves}", "language.hook_ln_final", "language.unembed.hook_in"
    cache = case.cache([name for name in (last, normed, read) if name in case.model.hook_dict])
    with torch.no_grad():
        want = tensors({"logits": case.call().logits})
        made = {
            "to_logits of the last stream": language.to_logits(cache[last]),
            "what the unembedding reads, times W_U": language.cap(cache[read] @ language.W_U + language.b_U),
        }
        if normed in cache.cache_dict:
            made["to_logits of the final norm"] = language.to_logits(cache[normed], norm=False)
        for how, logits in made.items():
            close(case.seen([logits])[0], case.seen(want)[0], f"{how} is not the logits", 1e-5)
