"""The two products of a coder that touch active latents only, each beside its dense twin.

One training step needs five matrix products of size [batch, d, n]. With k of n latents active, four of them (decoder,
decoder gradient, value gradient, encoder weight gradient) shrink by n/k: they become weighted sums of k rows, which
`embedding_bag` computes in one pass. Only the encoder's forward product stays dense, because it decides what is active.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

Select = Callable[[Tensor], Tensor]


def weighted_rows(
    values: Float[Tensor, "b k"], indices: Int[Tensor, "b k"], table: Float[Tensor, "n d"]
) -> Float[Tensor, "b d"]:
    """``out[i] = sum_j values[i, j] * table[indices[i, j]]``, without gradient bookkeeping."""
    if values.shape[1] == 0:
        return table.new_zeros(values.shape[0], table.shape[1])
    weights = values.detach().contiguous()
    return embedding_bag(indices.contiguous(), table.detach(), per_sample_weights=weights, mode="sum")


def scatter_rows(
    values: Float[Tensor, "b k"], indices: Int[Tensor, "b k"], rows: Float[Tensor, "b d"], n: int
) -> Float[Tensor, "n d"]:
    """``out[m] = sum over (i, j) with indices[i, j] = m of values[i, j] * rows[i]``: the transpose of `weighted_rows`.

    Pairs are sorted by latent first, so the sums run in one order and the result is the same on every run.
    """
    flat = indices.flatten().contiguous()
    order = flat.argsort(stable=True)
    offsets = torch.bincount(flat, minlength=n).cumsum(0)
    offsets = torch.cat([offsets.new_zeros(1), offsets[:-1]])
    source = torch.div(order, indices.shape[1], rounding_mode="floor")
    weights = values.detach().flatten()[order]
    return embedding_bag(source, rows.detach(), offsets=offsets, per_sample_weights=weights, mode="sum")


def row_products(
    rows: Float[Tensor, "b d"], indices: Int[Tensor, "b k"], table: Float[Tensor, "n d"]
) -> Float[Tensor, "b k"]:
    """``out[i, j] = <rows[i], table[indices[i, j]]>``, without a [b, k, d] tensor."""
    b, k = indices.shape
    offsets = torch.arange(0, b * k, k, device=indices.device)
    bag = torch.arange(b, device=indices.device).repeat_interleave(k)
    product = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return product(rows.contiguous(), table.detach(), indices.flatten().contiguous(), offsets, bag, 0).view(b, k)


class _ActiveProduct(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, select: Select) -> tuple[Tensor, Tensor]:
        pre = torch.addmm(bias, x, weight)
        indices = select(pre)
        ctx.save_for_backward(x, weight, indices)
        ctx.mark_non_differentiable(indices)
        return pre.gather(1, indices), indices

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, indices = ctx.saved_tensors
        grad = grads[0].contiguous()
        for_x = weighted_rows(grad, indices, weight.t()) if ctx.needs_input_grad[0] else None
        for_weight = scatter_rows(grad, indices, x, weight.shape[1]).t() if ctx.needs_input_grad[1] else None
        for_bias = None
        if ctx.needs_input_grad[2]:
            for_bias = grad.new_zeros(weight.shape[1]).index_add_(0, indices.flatten(), grad.flatten())
        return for_x, for_weight, for_bias, None


def active_product(
    x: Float[Tensor, "b d"], weight: Float[Tensor, "d n"], bias: Float[Tensor, " n"], select: Select
) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """``(x W + bias)`` at the places that `select` picks from it; gradients touch these places only.

    Fastest when `weight` is stored column by column, i.e. is the transpose of a contiguous [n, d] tensor.

    Args:
        select: from all pre-activations [b, n] to the indices [b, k] to keep; may repeat an index across selections.
    """
    return _ActiveProduct.apply(x, weight, bias, select)  # type: ignore[return-value]


def active_product_dense(
    x: Float[Tensor, "b d"], weight: Float[Tensor, "d n"], bias: Float[Tensor, " n"], select: Select
) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    """The twin of `active_product` in plain autograd."""
    pre = torch.addmm(bias, x, weight)
    indices = select(pre.detach())
    return pre.gather(1, indices), indices


class _Decode(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(values, indices, weight)
        return weighted_rows(values, indices, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, indices, weight = ctx.saved_tensors
        grad = grads[0].contiguous()
        for_values = row_products(grad, indices, weight) if ctx.needs_input_grad[0] else None
        for_weight = scatter_rows(values, indices, grad, weight.shape[0]) if ctx.needs_input_grad[2] else None
        return for_values, None, for_weight


def decode(
    values: Float[Tensor, "b k"], indices: Int[Tensor, "b k"], weight: Float[Tensor, "n d"]
) -> Float[Tensor, "b d"]:
    """``z W`` for codes given as values and indices; gradients reach active latents only (all others are zero)."""
    return _Decode.apply(values, indices, weight)  # type: ignore[return-value]


def decode_dense(
    values: Float[Tensor, "b k"], indices: Int[Tensor, "b k"], weight: Float[Tensor, "n d"]
) -> Float[Tensor, "b d"]:
    """The twin of `decode` in plain autograd."""
    z = values.new_zeros(values.shape[0], weight.shape[0]).scatter_add(1, indices, values)
    return z @ weight
