"""HookedVLM: a vision-language model with every activation of its towers under canonical names."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.hooked.compound import HookedTowers
from vitreous.hooked.connector import HookedConnector
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.language import HookedLanguageModel
from vitreous.hooked.loading import demand_vlm
from vitreous.hooked.stream import Stop, stop_at
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.wiring import find


class HookedVLM(HookedTowers):
    """A native VLM: `vision.`, `connector.` and `language.` hook points over the modules that it runs anyway.

    `vision` is a `HookedViT`, `language` a `HookedLanguageModel`, over the same points under unprefixed names.
    """

    vision: HookedViT
    connector: HookedConnector
    language: HookedLanguageModel

    def __init__(self, native: nn.Module, family: VLMFamily, processor: Any = None, name: str = "") -> None:
        self_name = name or type(native).__name__
        towers: dict[str, Any] = {}
        tower = find(native, native, family.vision)
        if tower is not None:
            towers["vision"] = HookedViT.from_native(tower, processor, f"{self_name}:vision")
        if family.connector:
            towers["connector"] = HookedConnector.part_of(native, family, f"{self_name}:connector")
        tokenizer = getattr(processor, "tokenizer", None)
        towers["language"] = HookedLanguageModel.part_of(native, family, tokenizer, f"{self_name}:language")
        super().__init__(native, towers, name)
        self.family = family
        self.processor = processor
        self.cfg = self.language.cfg

    @classmethod
    def from_native(cls, module: nn.Module, processor: Any = None, name: str = "") -> "HookedVLM":
        """Wraps a native VLM that is already there; no weight is copied.

        Args:
            module: an instance of a supported class, e.g. `LlavaForConditionalGeneration`.
            processor: its native processor.
            name: shown in messages.

        Raises:
            UnsupportedError: for a class that no family knows.
        """
        return cls(module, demand_vlm(type(module).__name__), processor, name)

    def _wrap(self, native: nn.Module) -> "HookedVLM":
        return type(self)(native, self.family, self.processor, self.name or "")

    @property
    def inert(self) -> tuple[str, ...]:
        """Globs of points that cannot change the output: what the vision tower computes and nobody reads."""
        config: Any = self.native.config
        layer = getattr(config, self.family.feature_layer, None) if self.family.feature_layer else None
        if layer is None:
            return self.family.inert
        n = self.vision.cfg.n_layers
        last = max(i if i >= 0 else i + n + 1 for i in ([layer] if isinstance(layer, int) else layer))
        unread = tuple(f"vision.blocks.{i}.*" for i in range(last, n))
        return (*self.family.inert, *unread, "vision.ln_final.*", "vision.hook_ln_final", "vision.pool.*")

    # --- running -------------------------------------------------------------------------------------------------

    def native_call(self) -> nn.Module:
        """What runs the whole model."""
        return self.native

    def _inputs(self, inputs: Any, **kwargs: Any) -> dict[str, Any]:
        if isinstance(inputs, Tensor):
            inputs = {"input_ids": inputs}
        if not isinstance(inputs, Mapping):
            raise BadInputError(
                f"inputs must be what the processor returns (a mapping with input_ids), got {type(inputs).__name__}"
            )
        return {k: self._placed(v) for k, v in inputs.items()} | kwargs

    def forward(self, inputs: Any, stop_at_layer: int | None = None, **kwargs: Any) -> Any:
        """Runs the native model.

        Args:
            inputs: what the processor returns, or token ids alone.
            stop_at_layer: run the language model's blocks 0..k-1 only and return the stream there.
            **kwargs: passed to the native forward.

        Raises:
            HookNotFiredError: if a hooked point was not reached.
        """
        given = self._inputs(inputs, **kwargs)
        if stop_at_layer is None:
            return self.run_native(given)
        stop = self.language._stop_index(stop_at_layer)
        fired = {n: p.n_fired for n, p in self.hook_dict.items() if p.active and self._before(n, stop)}
        undo = stop_at(self.language.layers, stop)
        try:
            self.native(**given)
        except Stop as stopped:
            self._demand_fired(fired)
            return stopped.resid
        finally:
            undo()
        raise AssertionError("the native forward never reached the layer to stop at")

    def _before(self, name: str, stop: int) -> bool:
        tower, _, rest = name.partition(".")
        return tower != "language" or self.language._before(rest, stop)

    @torch.no_grad()
    def generate(self, inputs: Any, **kwargs: Any) -> Any:
        """The native `generate` (greedy unless told otherwise); hooks act at every step.

        Args:
            inputs: as in `forward`.
            **kwargs: passed to the native `generate`.
        """
        return self.native.generate(**self._inputs(inputs), **kwargs)  # type: ignore[operator]
