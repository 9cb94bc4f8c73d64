"""HookedVLM: a vision-language model with every activation of its towers under canonical names."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.hooked import cross, prompt, sequence
from vitreous.hooked.compound import HookedTowers
from vitreous.hooked.connector import HookedConnector
from vitreous.hooked.crop import Setting
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.language import HookedLanguageModel
from vitreous.hooked.loading import demand_vlm
from vitreous.hooked.stream import Stop, stop_at
from vitreous.hooked.token_map import TokenMap
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

    # --- images and text -----------------------------------------------------------------------------------------

    def preprocess(self, images: Any, text: str | Sequence[str], **options: Any) -> prompt.Prompt:
        """What the model takes, by its native processor; it also keeps the images' sizes, for `token_map`.

        A prompt without an image token goes through the processor's chat template; where there is none, the image
        tokens are put in front.

        Args:
            images: PIL images or Items: one, a list (of one prompt's images, or shared out among the prompts), a list
                for each prompt, or None.
            text: a prompt or a list of prompts, with or without image tokens.
            **options: passed to the processor (`crop_to_patches`, `do_pan_and_scan`, `padding`, ...).

        Raises:
            BadInputError: without a processor; if there is no prompt, or not one image per image token.
        """
        if self.processor is None:
            raise BadInputError(f"{self.name} has no processor: pass processor= to from_native")
        return prompt.prepare(self.processor, images, text, options)

    def token_map(
        self, inputs: Mapping[str, Any], image_sizes: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenMap]:
        """Which position of the language model's sequence is what, for each row.

        Args:
            inputs: what `preprocess` or the native processor returned.
            image_sizes: height and width of the original images of each row; `preprocess` remembers them. Where they
                are not known and not needed, boxes are in pixels of the resized image.

        Raises:
            BadInputError: if the image tokens are not as many as the images need, or sizes are needed and not there.
            UnsupportedError: for a family whose layout is not known.
        """
        setting, sizes = self._setting(inputs), image_sizes or getattr(inputs, "image_sizes", None)
        tokenizer = getattr(self.processor, "tokenizer", None)
        return sequence.token_maps(inputs, self.family, setting, tokenizer, sizes)

    def key_map(
        self, inputs: Mapping[str, Any], image_sizes: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenMap]:
        """Which key of the cross-attention is what, for each row (Mllama); arguments and errors as in `token_map`."""
        sizes = image_sizes or getattr(inputs, "image_sizes", None)
        return cross.key_maps(inputs, self.family, self._setting(inputs), sizes)

    def _setting(self, inputs: Mapping[str, Any]) -> Setting:
        special = self.vision._special() if "vision." in self.towers() else ()
        return Setting(self.native.config, special, prompt.settings(self.processor, getattr(inputs, "options", {})))

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
        return {k: self._place_input(v) for k, v in inputs.items()} | kwargs

    def _place_input(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)

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
