"""Hooks for attention that does not ask transformers' interface: it is intercepted inside the module's forward.

Softmax shows scores and pattern; `F.scaled_dot_product_attention` and `F.multi_head_attention_forward` are computed in
the open and show everything. The mode is entered only in modules with a hook. Dropout inside the intercepted fused
functions is not applied: use it on models in evaluation mode.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vitreous.errors import UnsupportedError
from vitreous.hooked.point import Point, exact, through

_SOFTMAX = (torch.softmax, F.softmax, torch.Tensor.softmax)
_MHA_ARGUMENTS = (
    *("query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias"),
    *("bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias"),
)
_TRANSPOSED = ("hook_q", "hook_k", "hook_v", "hook_z")


@no_type_check
class AttentionMode(TorchFunctionMode):
    """Shows what attention computes inside one module's forward.

    Args:
        points: local name -> point.
        heads: number of heads, for modules that fold them into the batch.
    """

    def __init__(self, points: dict[str, Point], heads: int = 1) -> None:
        super().__init__()
        self.points = points
        self.heads = heads

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _SOFTMAX:
            scores = self.show("hook_attn_scores", args[0] if args else kwargs.pop("input"))
            pattern = func(scores, *args[1:], **kwargs)  # some ask for float32 here, and cast back afterwards
            return self.show("hook_pattern", pattern.to(scores.dtype)).to(pattern.dtype)
        if func is F.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False))
            return self.sdpa(**(given | kwargs))
        if func is F.multi_head_attention_forward:
            return self.multi_head(dict(zip(_MHA_ARGUMENTS, args, strict=False)) | kwargs)
        return func(*args, **kwargs)

    def show(self, name: str, value: Tensor) -> Tensor:
        """Passes a tensor through a point if it is hooked; q, k, v and z as `[b, pos, heads, d]`."""
        point = self.points.get(name)
        if point is None or not point.active:
            return value
        if name not in _TRANSPOSED:
            return self.show_square(point, value)
        return point(value.transpose(-2, -3).clone()).transpose(-2, -3)  # a query may be a view of a weight

    def show_square(self, point: Point, value: Tensor) -> Tensor:
        """Scores or pattern as `[b, heads, q, k]`; windows and images share the first axis."""
        if value.dim() == 5:
            shown = point(rearrange(value, "b h w q k -> (b w) h q k"))
            return rearrange(shown, "(b w) h q k -> b h w q k", w=value.shape[2])
        if value.dim() == 3:
            return point(value.unflatten(0, (-1, self.heads))).flatten(0, 1)
        return point(value)

    def sdpa(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """`F.scaled_dot_product_attention` in the open."""
        if is_causal:
            attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
        return self.attend(query, key, value, attn_mask, scale)[0]

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """z and pattern; all inputs are `[b, heads, pos, d]`, a boolean bias says what may be attended to."""
        q, k, v = self.show("hook_q", q), self.show("hook_k", k), self.show("hook_v", v)
        if k.shape[-3] != q.shape[-3]:
            k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
        scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        if bias is not None:
            scores = scores.masked_fill(~bias, float("-inf")) if bias.dtype == torch.bool else scores + bias
        scores = self.show("hook_attn_scores", scores)
        pattern = self.show("hook_pattern", torch.softmax(scores, -1))
        return self.show("hook_z", pattern @ v), pattern

    def multi_head(self, a: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """`F.multi_head_attention_forward` in the open; its tensors are `[pos, b, d]`."""
        if a.get("bias_k") is not None or a.get("add_zero_attn"):
            raise UnsupportedError("nn.MultiheadAttention with bias_k or add_zero_attn cannot be hooked")
        heads = a["num_heads"]
        separate = a.get("use_separate_proj_weight")
        weights = [a[f"{n}_proj_weight"] for n in "qkv"] if separate else a["in_proj_weight"].chunk(3)
        biases = (None,) * 3 if a["in_proj_bias"] is None else a["in_proj_bias"].chunk(3)
        q, k, v = (
            rearrange(F.linear(a[name], w, b), "pos b (h d) -> b h pos d", h=heads)
            for name, w, b in zip(("query", "key", "value"), weights, biases, strict=True)
        )
        z, pattern = self.attend(q, k, v, _mha_bias(a, heads, q, k))
        out = F.linear(rearrange(z, "b h pos d -> pos b (h d)"), a["out_proj_weight"], a["out_proj_bias"])
        result = self.points.get("hook_result")
        if result is not None and result.active:
            by_head = rearrange(out, "pos b d -> b pos d")
            z = rearrange(z, "b h pos d -> b pos (h d)")
            out = rearrange(
                per_head(result, z, by_head, a["out_proj_weight"], a["out_proj_bias"], heads), "b p d -> p b d"
            )
        shown = pattern.mean(1) if a.get("average_attn_weights", True) else pattern
        return out, shown if a.get("need_weights", True) else None


@no_type_check
def _mha_bias(a: dict[str, Any], heads: int, q: Tensor, k: Tensor) -> Tensor | None:
    """The additive mask of `nn.MultiheadAttention`, where True means "masked out"."""
    bias = None
    mask, padding = a.get("attn_mask"), a.get("key_padding_mask")
    if mask is not None:
        bias = _additive(mask, q.dtype).reshape(-1, heads if mask.dim() == 3 else 1, *mask.shape[-2:])
    if padding is not None:
        hidden = _additive(padding, q.dtype).reshape(-1, 1, 1, k.shape[-2])
        bias = hidden if bias is None else bias + hidden
    return bias


@no_type_check
def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))


@no_type_check
def per_head(point: Point, z: Tensor, out: Tensor, weight: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """The output of attention after its heads' results `z_h W_O^h` went through a point.

    Args:
        point: sees `[..., heads, d]`.
        z: input of the output projection, `[..., heads * d_head]`.
        out: the native output of the projection, returned as it is when nothing was edited.
        weight: `[d, heads * d_head]`.
        bias: `[d]`; belongs to no head.
        heads: number of heads.
    """
    split = rearrange(weight, "d (h e) -> h e d", h=heads)
    result = einsum(rearrange(z, "... (h e) -> ... h e", h=heads), split, "... h e, h e d -> ... h d")
    result, edited = through(point, result)
    total = result.sum(-2)
    return exact(out, total if bias is None else total + bias, edited)
