"""HookedLanguageModel: the language model of a VLM, with its unembedding, under TransformerLens' names."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from vitreous.errors import UnsupportedError
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.loading import demand_family
from vitreous.hooked.site import In, Out
from vitreous.hooked.text import HookedTextEncoder
from vitreous.hooked.weight import weights
from vitreous.hooked.wiring import find


class HookedLanguageModel(HookedTextEncoder):
    """A decoder: `model(ids)` or `model(inputs_embeds=...)` returns an output with `logits`.

    `to_logits`, `W_U`, `norm("ln_final")` and `cfg.logit_softcap` say the same for every family, so that lenses and
    direct logit attribution are written once.
    """

    @classmethod
    def part_of(
        cls, root: nn.Module, family: VLMFamily, processor: Any = None, name: str = ""
    ) -> "HookedLanguageModel":
        """The language model inside a native VLM.

        Raises:
            UnsupportedError: if its class is unknown.
        """
        native = find(root, root, family.language)
        if native is None:
            raise UnsupportedError(f"{type(root).__name__} has no language model at {family.language!r}")
        own, entry = demand_family(type(native).__name__, "language")
        unembed = f"/{family.unembed}"
        head = {**entry.head, **family.head, "unembed.hook_in": In(unembed), "unembed.hook_out": Out(unembed)}
        stacks = (*entry.stacks, *family.stacks)
        entry = replace(entry, head=head, stacks=stacks, final=family.final, softcap=family.softcap)
        return cls(native, own, processor, name, root=root, entry=entry)

    # --- reading the stream --------------------------------------------------------------------------------------

    @property
    def unembedding(self) -> nn.Module:
        """The native unembedding."""
        path = next(s.path for k, s in self.entry.head.items() if k == "unembed.hook_out")  # type: ignore[union-attr]
        found = find(self.root, self.tower, path)
        assert found is not None
        return found

    @property
    def W_U(self) -> Float[Tensor, "d d_vocab"]:
        """The unembedding matrix; a view (a copy where weights are offloaded)."""
        return weights(self.unembedding, "weight")[0].T

    @property
    def b_U(self) -> Float[Tensor, "d_vocab"] | float:
        """The unembedding's bias; 0 without one."""
        bias = getattr(self.unembedding, "bias", None)
        return 0.0 if bias is None else bias

    def to_logits(self, resid: Float[Tensor, "*axes d"], norm: bool = True) -> Float[Tensor, "*axes d_vocab"]:
        """Logits of a residual stream: final norm, unembedding and soft-cap, as the native model does it.

        Post-LN decoders (BLIP, BART) have no final norm: their stream is `hook_normalized_resid_post`.

        Args:
            resid: a stream, of any layer.
            norm: whether to apply the final norm (False for what has passed it).
        """
        normed = self.norm("ln_final")(resid) if norm and "ln_final" in self.norms else resid
        return self.cap(self.unembedding.forward(self.finish(normed)))

    def finish(self, normed: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes d_out"]:
        """What the unembedding reads, made of the language model's output: mostly that very output."""
        for module in (find(self.root, self.root, path) for path in self.entry.final):
            normed = normed if module is None else module(normed)
        return normed

    def cap(self, logits: Float[Tensor, "*axes d_vocab"]) -> Float[Tensor, "*axes d_vocab"]:
        """What the native model does to the unembedding's output: soft-capping, where its class does it."""
        cap = self.cfg.logit_softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    # --- running -------------------------------------------------------------------------------------------------

    def native_call(self) -> Callable[..., Any]:
        def call(**given: Any) -> CausalLMOutputWithPast:
            if "input_ids" in given:
                given["inputs_embeds"] = self.native.get_input_embeddings()(given.pop("input_ids"))  # type: ignore
            out = self.native(**{**self.entry.given, **given})
            logits = self.cap(self.unembedding(self.finish(out.last_hidden_state)))
            return CausalLMOutputWithPast(logits=logits, past_key_values=out.get("past_key_values"))

        return call

    def _inputs(self, inputs: Any = None, **kwargs: Any) -> dict[str, Any]:
        return super()._inputs({} if inputs is None else inputs, **kwargs)

    def _n_ctx(self) -> int:
        config: Any = getattr(self.tower.config, "text_config", self.tower.config)
        return int(getattr(config, "max_position_embeddings", 0))

    def _more_sizes(self, config: Any) -> dict[str, Any]:
        return {
            "n_key_value_heads": getattr(config, "num_key_value_heads", None),
            "d_vocab": self.unembedding.weight.shape[0],  # type: ignore[union-attr, index]
            "logit_softcap": getattr(config, self.entry.softcap, None) if self.entry.softcap else None,
        }
