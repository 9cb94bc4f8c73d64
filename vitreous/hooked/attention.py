"""Explicit attention in hooked layers: the function and mask that transformers' attention interface calls.

While any attention point of a tower is hooked, the tower's configuration names one of the functions registered here.
A layer without hooks is handed on to the fused function; a layer with hooks on scores or pattern computes softmax in
the open, bit-equal to transformers' eager attention. The mask function must be registered beside it: without one,
transformers builds no mask at all, and nothing warns.

Towers of packed sequences (Qwen) call their function once for each image or window, unless its name contains "flash":
then they call it once and say where the pieces end (`cu_seq_lens_q`). So that is the name they get; attention goes
piece by piece, as it does natively, and is shown as a whole.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, no_type_check

import torch
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from vitreous.hooked.point import Point, exact, through

SLOT = "_vitreous_points"
"""Where an attention module keeps its hook points while they are wired (a plain attribute, not a child module)."""


@no_type_check
def hooked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    *,
    eager: bool,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention with hooks; query, key and value are `[b, heads, pos, d_head]`, after RoPE and query-key norms.

    Args:
        cu_seq_lens_q: where the pieces of a packed sequence end, after a 0.
        eager: whether layers without hooks on scores or pattern compute in the open, too (the user chose eager).
    """
    points: Mapping[str, Point] = module.__dict__.get(SLOT, {})
    query, key, value = (_by_position(points, f"hook_{n}", t) for n, t in (("q", query), ("k", key), ("v", value)))
    sinks = s_aux if s_aux is not None else getattr(module, "sinks", None)
    shown = any(points[name].active for name in ("hook_attn_scores", "hook_pattern") if name in points)
    if not (eager or shown or softcap is not None or sinks is not None or kwargs.get("output_attentions")):
        kwargs["is_causal"] = False  # eager_mask already says what is causal; None would be taken for "causal"
        fused = partial(ALL_ATTENTION_FUNCTIONS["sdpa"], module, scaling=scaling, dropout=dropout, **kwargs)
        pieces = zip(*(_pieces(t, cu_seq_lens_q) for t in (query, key, value)), strict=True)
        parts = [fused(*piece, attention_mask)[0] for piece in pieces]
        z = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return _show(points, "hook_z", z).contiguous(), None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    if cu_seq_lens_q is not None:
        softmax = partial(_softmax, sinks=None, upcast=upcasts(type(module)))
        z, pattern = packed_attention(points, query, key, value, scaling, cu_seq_lens_q, softmax)
        return _show(points, "hook_z", z.transpose(1, 2)).contiguous(), pattern
    scores = torch.matmul(query, key.transpose(-1, -2)) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    for bias in (kwargs.get("position_bias"), attention_mask):
        if bias is not None:
            scores = scores + bias
    scores = _show(points, "hook_attn_scores", scores)
    pattern = _softmax(scores, sinks, upcasts(type(module))).to(query.dtype)
    pattern = _show(points, "hook_pattern", pattern)
    dropped = nn.functional.dropout(pattern, p=dropout, training=module.training)
    z = torch.matmul(dropped, value).transpose(1, 2)
    return _show(points, "hook_z", z).contiguous(), pattern


@lru_cache
@no_type_check
def upcasts(attention: type) -> bool:
    """Whether a native class's own eager attention computes softmax in float32; most do.

    The function is no part of the class: it is the `eager_attention_forward` that the class's forward sees.
    """
    forward = inspect.unwrap(attention.forward)
    eager = forward.__globals__.get("eager_attention_forward")
    return eager is None or "float32" in inspect.unwrap(eager).__code__.co_names


@no_type_check
def _pieces(value: Tensor, ends: Tensor | None) -> list[Tensor]:
    """The pieces of a packed `[1, heads, pos, d_head]`."""
    return [value] if ends is None else list(value.split((ends[1:] - ends[:-1]).tolist(), 2))


@no_type_check
def packed_attention(
    points: Mapping[str, Point],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    ends: Tensor,
    softmax: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """z `[1, heads, pos, d_head]` and pattern of a packed sequence, in the open.

    The pieces are computed one by one, as they are natively (one large product would round differently); scores and
    pattern are shown as the block-diagonal whole. After an edit, which may cross the blocks, the whole is what counts.
    """
    pieces = list(zip(*(_pieces(t, ends) for t in (query, key, value)), strict=True))
    own = [torch.matmul(q, k.transpose(-1, -2)) * scaling for q, k, _ in pieces]
    soft = [softmax(scores).to(query.dtype) for scores in own]
    z = torch.cat([torch.matmul(pattern, v) for pattern, (_, _, v) in zip(soft, pieces, strict=True)], 2)
    if not points:
        return z, _diagonal(soft, 0.0)
    scores, edited = through(points["hook_attn_scores"], _diagonal(own, torch.finfo(query.dtype).min))
    pattern = exact(_diagonal(soft, 0.0), softmax(scores).to(query.dtype), edited)
    pattern, again = through(points["hook_pattern"], pattern)
    return exact(z, torch.matmul(pattern, value), edited or again), pattern


@no_type_check
def _diagonal(pieces: list[Tensor], fill: float) -> Tensor:
    """Squares `[1, heads, n, n]` along the diagonal of a larger one."""
    n, at = sum(piece.shape[-1] for piece in pieces), 0
    whole = pieces[0].new_full((*pieces[0].shape[:2], n, n), fill)
    for piece in pieces:
        end = at + piece.shape[-1]
        whole[..., at:end, at:end] = piece
        at = end
    return whole


@no_type_check
def _softmax(scores: Tensor, sinks: Tensor | None, upcast: bool) -> Tensor:
    """Softmax over keys, in float32 where the native attention does that, or in float64 where the model is: there a
    mask is -inf in float32. A sink is one more logit per head that takes weight and is dropped again."""
    dtype = torch.promote_types(scores.dtype, torch.float32) if upcast else scores.dtype
    if sinks is None:
        return nn.functional.softmax(scores, dim=-1, dtype=dtype)
    extra = sinks.reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[-2], 1)
    return torch.cat([scores, extra], -1).softmax(-1, dtype=dtype)[..., :-1]


@no_type_check
def _show(points: Mapping[str, Point], name: str, value: Tensor) -> Tensor:
    return points[name](value) if name in points and points[name].active else value


@no_type_check
def _by_position(points: Mapping[str, Point], name: str, value: Tensor) -> Tensor:
    """Shows `[b, heads, pos, d]` as `[b, pos, heads, d]`, the layout that hook functions expect."""
    if name in points and points[name].active:
        return points[name](value.transpose(1, 2)).transpose(1, 2)
    return value


NAMES = {"eager": "vitreous_eager", "sdpa": "vitreous_sdpa"}
VARLEN = {"eager": "vitreous_flash_eager", "sdpa": "vitreous_flash_sdpa"}

for _native, _name in (*NAMES.items(), *VARLEN.items()):
    ALL_ATTENTION_FUNCTIONS.register(_name, partial(hooked_attention, eager=_native == "eager"))
    ALL_MASK_ATTENTION_FUNCTIONS.register(_name, eager_mask)


_ROUTED: dict[int, tuple[Any, str | None, int]] = {}
"""The configurations that are routed now: id -> (configuration, native implementation, number of towers).

Towers may share one: Kosmos-2's projection is made with the configuration of its language model.
"""


@no_type_check
class Switch:
    """Routes attention through `hooked_attention` while anybody needs it, and puts it back afterwards.

    Args:
        parts: the tower, and the modules of further stacks, which may hold configurations of their own.
        varlen: whether to ask for one call for all the pieces of a packed sequence.
    """

    def __init__(self, parts: list[nn.Module], varlen: bool = False) -> None:
        self.parts = parts
        self.names = VARLEN if varlen else NAMES
        self.users = 0
        self.found: list[Any] = []

    def acquire(self) -> Callable[[], None]:
        """Counts one user in; returns the call that counts it out."""
        for config in () if self.users else self.configs():
            _, native, towers = _ROUTED.get(id(config), (config, config._attn_implementation_internal, 0))
            _ROUTED[id(config)] = (config, native, towers + 1)
            config._attn_implementation_internal = self.names["eager" if native == "eager" else "sdpa"]
        self.users += 1
        return self._release

    def _release(self) -> None:
        self.users -= 1
        for config in () if self.users else self.configs():
            _, native, towers = _ROUTED.pop(id(config))
            if towers > 1:
                _ROUTED[id(config)] = (config, native, towers - 1)
            else:
                config._attn_implementation_internal = native

    def configs(self) -> list[Any]:
        """Every distinct configuration object; some modules hold their own copy of the model's. Looked for once."""
        if self.found:
            return self.found
        found: dict[int, Any] = {}
        for module in (module for part in self.parts for module in part.modules()):
            config = getattr(module, "config", None)
            if hasattr(config, "_attn_implementation_internal"):
                found[id(config)] = config
        self.found = list(found.values())
        return self.found
