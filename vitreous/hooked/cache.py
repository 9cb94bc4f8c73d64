"""What a run left behind, and the residual-stream arithmetic on it: decomposition, norms, direct logit attribution."""

from collections.abc import Sequence
from typing import Any

import torch
from einops import einsum
from torch import Tensor
from transformer_lens import ActivationCache as LensCache
from transformer_lens.utilities import get_act_name

from vitreous.errors import BadInputError, UnsupportedError, unknown
from vitreous.hooked.family import applicable, second_name


class ActivationCache(LensCache):
    """TransformerLens' cache for vision and text towers.

    `cache["blocks.5.hook_resid_post"]`, `cache["resid_post", 5]`, `cache["q5"]` and `cache["scale", 3, "ln1"]` are all
    understood. The stream's first term is what enters block 0 (after the pre-norm, where there is one), labelled
    `embed`. Contributions are those that are added to the stream, after LayerScale.
    """

    model: Any  # type: ignore[assignment]

    def __getitem__(self, key: Any) -> Tensor:
        """An activation by its name or TransformerLens' shorthand.

        Raises:
            UnknownNameError: if it was not cached, with what was.
        """
        return self.cache_dict[self.name_of(key)]

    def name_of(self, key: Any) -> str:
        """The full name of a cached activation, from its name or shorthand.

        Raises:
            UnknownNameError: if it was not cached, with what was.
        """
        if isinstance(key, str):
            options = [key, second_name(key), get_act_name(key)]
        else:
            name, layer, *rest = (*key, None)
            if layer is not None and layer < 0:
                layer += self.model.cfg.n_layers
            options = [get_act_name(name, layer, *[r for r in rest if r is not None])]
        for option in options:
            if option in self.cache_dict:
                return option
        raise unknown("cached activation", options[-1], self.cache_dict, hint="Was it in names_filter?")

    def tower(self, prefix: str) -> "ActivationCache":
        """The part of a several-tower cache that belongs to one tower, under the tower's own names.

        Args:
            prefix: `vision` or `text`.
        """
        own = {k.removeprefix(f"{prefix}."): v for k, v in self.cache_dict.items() if k.startswith(f"{prefix}.")}
        return ActivationCache(own, getattr(self.model, prefix), has_batch_dim=self.has_batch_dim)

    # --- the stream as a sum -------------------------------------------------------------------------------------

    def decompose_resid(  # type: ignore[override]
        self,
        layer: int | None = None,
        mlp_input: bool = False,
        mode: str = "all",
        apply_ln: bool = False,
        pos_slice: Any = None,
        incl_embeds: bool = True,
        return_labels: bool = False,
    ) -> Any:
        """The terms whose sum is the stream before `layer`: embed, then attention and MLP of each earlier layer.

        Args:
            layer: sum up to the input of this layer; None or `n_layers` for the last output.
            mlp_input: up to the input of this layer's MLP, i.e. with its attention.
            mode: "all", "attn" or "mlp".
            apply_ln: divide by the norm that reads the stream there (see `apply_ln_to_stack`).
            pos_slice: positions to keep; an int keeps the axis.
            incl_embeds: include what enters block 0.
            return_labels: also return a label per term.

        Returns:
            `[terms, (b,) pos, d]`, and the labels.
        """
        layer = self._layer(layer)
        terms, labels = ([self["resid_pre", 0]], ["embed"]) if incl_embeds else ([], [])
        for i in range(layer + mlp_input):
            for name in self._contributions(i):
                kind = "mlp" if name == "hook_mlp_out" else "attn" if name.endswith("attn_out") else "injected"
                if mode in ("all", kind) and (i < layer or kind == "attn"):
                    terms.append(self[f"blocks.{i}.{name}"])
                    labels.append(f"{i}_{name.removeprefix('hook_')}")
        if not terms:
            raise BadInputError(f"mode {mode!r} up to layer {layer} has no terms; modes are all, attn, mlp")
        return self._finish(torch.stack(terms), labels, layer, mlp_input, apply_ln, pos_slice, return_labels)

    def accumulated_resid(  # type: ignore[override]
        self,
        layer: int | None = None,
        incl_mid: bool = False,
        apply_ln: bool = False,
        pos_slice: Any = None,
        mlp_input: bool = False,
        return_labels: bool = False,
    ) -> Any:
        """The stream before each layer up to `layer` (the logit lens reads it); arguments as in `decompose_resid`.

        Raises:
            UnsupportedError: where stages change its width and positions.
        """
        self._demand_one_stage()
        layer = self._layer(layer)
        terms, labels = [], []
        for i in range(layer + 1):
            final = i == self.model.cfg.n_layers
            terms.append(self[self.model.places[i - 1].leaves] if final else self["resid_pre", i])
            labels.append("final_post" if final else f"{i}_pre")
            if not final and ((incl_mid and i < layer) or (mlp_input and i == layer)):
                terms.append(self["resid_mid", i])
                labels.append(f"{i}_mid")
        return self._finish(torch.stack(terms), labels, layer, mlp_input, apply_ln, pos_slice, return_labels)

    def stack_head_results(  # type: ignore[override]
        self,
        layer: int | None = None,
        return_labels: bool = False,
        incl_remainder: bool = False,
        pos_slice: Any = None,
        apply_ln: bool = False,
    ) -> Any:
        """What each head of each layer before `layer` adds to the stream, from cached `hook_result` or `hook_z`.

        Args:
            layer: heads below this layer; None for all.
            return_labels: also return `L0H0`-like labels.
            incl_remainder: append the rest of the stream (biases, MLPs, embedding).
            pos_slice: positions to keep.
            apply_ln: divide by the norm that reads the stream at `layer`.

        Raises:
            UnsupportedError: as `decompose_resid`, and where what attention puts out is rearranged before it is added.
        """
        layer = self._layer(layer)
        terms, labels = [], []
        for i in range(layer):
            self._contributions(i)
            attn = self.model.blocks[i].attn
            if (site := self.model.family.block["attn"]).total != "hook_attn_out":
                raise UnsupportedError(
                    f"{self.model.name} rearranges what attention puts out before it is added (windows, frames): the "
                    f"heads of a layer add up to blocks.{i}.{site.total}, not to a term of the stream"
                )
            result = self.cache_dict.get(f"blocks.{i}.attn.hook_result")
            if result is None:
                result = einsum(self["z", i], attn.W_O, "... h e, h e d -> ... h d")
            scale = attn.contribution_scale
            result = result if scale is None else result * scale
            terms += list(result.unbind(-2))
            labels += [f"L{i}H{h}" for h in range(result.shape[-2])]
        stream = self["resid_post", layer - 1] if layer == self.model.cfg.n_layers else self["resid_pre", layer]
        stack = torch.stack(terms) if terms else stream.new_zeros((0, *stream.shape))
        if incl_remainder:
            stack = torch.cat([stack, (stream - stack.sum(0))[None]])
            labels.append("remainder")
        return self._finish(stack, labels, layer, False, apply_ln, pos_slice, return_labels)

    # --- reading the stream --------------------------------------------------------------------------------------

    def apply_ln_to_stack(  # type: ignore[override]
        self,
        residual_stack: Tensor,
        layer: int | None = None,
        mlp_input: bool = False,
        pos_slice: Any = None,
        batch_slice: Any = None,
        has_batch_dim: bool = True,
        recompute_ln: bool = False,
    ) -> Tensor:
        """Terms as the norm that reads the stream sees them: centred, divided by the cached scale, times the gain.

        The norm is linear once its divisor is frozen, so the terms' images add up to the norm's output minus its bias.

        Args:
            residual_stack: `[terms, (b,) pos, d]`.
            layer: the reader: ln1 of this layer; None or `n_layers` for the final norm.
            mlp_input: ln2 of this layer instead.
            pos_slice: the positions that `residual_stack` was cut to.
            batch_slice: not supported.
            has_batch_dim: not used; the cache knows.
            recompute_ln: take every term's own scale instead (the logit lens); of no use for attribution.
        """
        if batch_slice is not None:
            raise BadInputError("batch_slice is not supported; slice the cache's tensors instead")
        layer = self._layer(layer)
        final = layer == self.model.cfg.n_layers
        key = "ln_final" if final else f"blocks.{layer}.{'ln2' if mlp_input else 'ln1'}"
        norm = self.model.norm(key)
        if recompute_ln:
            return norm(residual_stack)
        scale = self[f"{key}.hook_scale"]
        stack = residual_stack - residual_stack.mean(-1, keepdim=True) if norm.centred else residual_stack
        if scale.dim() < self["resid_pre", 0].dim():  # a final norm that only reads the CLS position
            if stack.shape[-2] != 1:
                raise BadInputError(f"the final norm of {self.model.name} reads position 0 only: pass pos_slice=0")
            scale = scale.unsqueeze(-2)
        elif pos_slice is not None:
            scale = _cut(scale, pos_slice)
        return stack / scale * norm.gain

    def logit_attrs(  # type: ignore[override]
        self,
        residual_stack: Tensor,
        directions: Tensor,
        layer: int | None = None,
        pos_slice: Any = 0,
    ) -> Tensor:
        """Direct logit attribution: how much each term adds to the logits, with the final norm applied.

        Args:
            residual_stack: `[terms, (b,) pos, d]`, already cut to `pos_slice`.
            directions: `[d]` or `[classes, d]` in the stream's space after the final norm; `model.logit_directions()`
                gives those of the model's own head, or of text embeddings.
            layer: see `apply_ln_to_stack`.
            pos_slice: position that the head reads (0 is CLS).

        Returns:
            `[terms, (b,) pos]` or `[terms, (b,) pos, classes]`.
        """
        normed = self.apply_ln_to_stack(residual_stack, layer, pos_slice=pos_slice)
        return (
            normed @ directions.to(normed.dtype).mT if directions.dim() == 2 else normed @ directions.to(normed.dtype)
        )

    # --- small parts ---------------------------------------------------------------------------------------------

    def _contributions(self, i: int) -> list[str]:
        """What layer `i` adds to the stream, in order; local names of points.

        Raises:
            UnsupportedError: in a post-LN model, whose stream is no sum over layers, and where stages change it.
        """
        self._demand_one_stage()
        stream, found = f"blocks.{i}.hook_resid_pre", []
        for first, *added, total in applicable(self.model.family.sums, f"blocks.{i}.", self.model.hook_dict):
            if first != stream:
                raise UnsupportedError(
                    f"{self.model.name}: a norm stands between {stream} and {first} (post-LN), so the stream is not "
                    "the sum of what earlier layers added; `cache['resid_pre', i]` and the contributions are there"
                )
            stream = total
            found += [name.removeprefix(f"blocks.{i}.") for name in added]
        return found + [n for n in self.model.family.between if f"blocks.{i}.{n}" in self.model.hook_dict]

    def _demand_one_stage(self) -> None:
        """Raises: UnsupportedError where the stream changes its width and positions from stage to stage."""
        if len(self.model.cfg.stages) > 1:
            raise UnsupportedError(
                f"{self.model.name} has stages of {self.model.cfg.stages} blocks: between them the stream is pooled "
                "and projected, so it is not the sum of what earlier layers added; each layer's contributions are there"
            )

    def _layer(self, layer: int | None) -> int:
        n: int = self.model.cfg.n_layers
        layer = n if layer is None or layer == -1 else int(layer)
        if not 0 <= layer <= n:
            raise BadInputError(f"layer {layer} does not exist: {self.model.name} has {n} layers")
        return layer

    def _finish(
        self,
        stack: Tensor,
        labels: list[str],
        layer: int,
        mlp_input: bool,
        apply_ln: bool,
        pos_slice: Any,
        return_labels: bool,
    ) -> Any:
        if pos_slice is not None:
            stack = _cut(stack, pos_slice)
        if apply_ln:
            stack = self.apply_ln_to_stack(stack, layer, mlp_input=mlp_input, pos_slice=pos_slice)
        return (stack, labels) if return_labels else stack


def _cut(stack: Tensor, pos_slice: int | slice | Sequence[int] | tuple[int, ...]) -> Tensor:
    """Keeps some positions; an int keeps the axis, with length one."""
    if isinstance(pos_slice, int):
        pos_slice = [pos_slice]
    return stack[..., slice(*pos_slice) if isinstance(pos_slice, tuple) else pos_slice, :]
