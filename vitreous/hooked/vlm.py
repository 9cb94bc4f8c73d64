"""HookedVLM: a vision-language model with every activation of its towers under canonical names."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.hooked.checkpoint import load_native, load_processor
from vitreous.hooked.compound import HookedTowers
from vitreous.hooked.connector import HookedConnector
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.generation import StepCaches, generate, generate_with_cache
from vitreous.hooked.language import HookedLanguageModel
from vitreous.hooked.loading import demand_vlm, locate
from vitreous.hooked.model import NamesFilter
from vitreous.hooked.prompted import Prompted
from vitreous.hooked.step import Clock, Steps
from vitreous.hooked.stream import Stop, stop_at
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.wiring import find


class HookedVLM(Prompted, HookedTowers):
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
        self.missing = ""  # why there is no processor
        self.cfg = self.language.cfg
        self.clock = Clock(native, list(self.towers().values()), self.language)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        device_map: Any = None,
        quantization_config: Any = None,
        attn_implementation: str | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> "HookedVLM":
        """Loads a vision-language model, in evaluation mode, with its processor if that can be loaded.

        Without one (see `missing`) everything works but what starts from images and strings.

        Args:
            name_or_path: an embedded model (`vitreous/...`), a folder in the transformers format, or a hub id.
            dtype: type of the weights.
            device: where to put them.
            device_map: instead of `device`: which part goes where, for models larger than one device (`"auto"`, or a
                dict of module names; `"cpu"` and `"disk"` keep weights away until they are needed).
            quantization_config: how to quantise the weights; passed to the native loader.
            attn_implementation: `"sdpa"`, `"eager"`, ...; what is hooked computes in the open all the same.
            revision: branch, tag or commit on the hub.
            **options: passed to the native loader (max_memory, offload_folder, ...).

        Raises:
            UnsupportedError: for an architecture that no family knows.
            FormatError: if the checkpoint's keys do not fit.
            NetworkError: if something must be downloaded and cannot be.
        """
        source = locate(name_or_path, revision)
        chosen = {"quantization_config": quantization_config, "attn_implementation": attn_implementation}
        native = load_native(source, ("vlm",), dtype, device, device_map=device_map, **chosen, **options)
        processor, missing = load_processor(source)
        model = cls.from_native(native, processor, source.name)
        model.missing = missing
        return model

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
        own = getattr(getattr(self, "connector", None), "inert", ())
        declared = (*self.family.inert, *(f"connector.{glob}" for glob in own))
        config: Any = self.native.config
        layer = getattr(config, self.family.feature_layer, None) if self.family.feature_layer else None
        if layer is None:
            return declared
        n = self.vision.cfg.n_layers
        last = max(i if i >= 0 else i + n + 1 for i in ([layer] if isinstance(layer, int) else layer))
        unread = tuple(f"vision.blocks.{i}.*" for i in range(last, n))
        return (*declared, *unread, "vision.ln_final.*", "vision.hook_ln_final", "vision.pool.*")

    @property
    def decoding(self) -> list[str]:
        """Points that fire at every step of a generation: those of the language model, but not of an encoder in it, and
        not those that the family says are reached once."""
        once = tuple(f"language.{stack.prefix}*" for stack in self.language._stacks)
        once += self.family.once
        return [n for n in self.points("language.*") if not any(fnmatchcase(n, glob) for glob in once)]

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
        fired = {name: n for name, n in self._fired().items() if self._before(name, stop)}
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

    # --- generating ----------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The step of the generation that is running: 0 reads the prompt, t the t-th generated token.

        Counted while anything is hooked, in `model.native.generate`, too; hook functions find it as `hook.step`.
        """
        return self.clock.step

    @torch.no_grad()
    def generate(
        self, inputs: Any, *, fwd_hooks: Sequence[tuple[Any, Any]] = (), steps: Steps = None, **kwargs: Any
    ) -> Any:
        """The native `generate`, with temporary hooks.

        Step 0 reads the prompt and gives the first new token; step t reads the t-th new token, one position. Points of
        the vision tower and the connector fire at step 0 only, and not at all without an image. `hook_k` and `hook_v`
        show everything that attention reads at a step, past positions included; an edit there holds for that step,
        while edits of the stream stay in the KV cache.

        Args:
            inputs: what the processor returns; prompts of different lengths must be padded on the left.
            fwd_hooks: (name, function) pairs as in `hooks`.
            steps: when they act: a step, several, a slice, or None for all.
            **kwargs: passed to the native `generate`.

        Returns:
            what the native `generate` returns.

        Raises:
            BadInputError: for hooks that can act at none of their steps.
            HookNotFiredError: if a hooked point of a tower that ran was never reached.
            UnsupportedError: for beam search and whatever else reads other than one token per step and row; only
                where hooks are given.
        """
        return generate(self, inputs, fwd_hooks, steps, **kwargs)

    @torch.no_grad()
    def generate_with_cache(
        self,
        inputs: Any,
        *,
        names_filter: NamesFilter = None,
        fwd_hooks: Sequence[tuple[Any, Any]] = (),
        steps: Steps = None,
        device: str | torch.device | None = None,
        pos_slice: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, StepCaches]:
        """As `generate`; also returns the activations of every step, edits included.

        Args:
            inputs: as in `generate`.
            names_filter: which points to keep, as in `run_with_cache`.
            fwd_hooks: edits, as in `generate`.
            steps: when they act.
            device: where to keep activations; each is moved as it appears.
            pos_slice: positions to keep of each step; `-1` leaves the rest of the prompt out.
            **kwargs: passed to the native `generate`.

        Returns:
            what the native `generate` returns, and `steps`: `steps[t]["language.blocks.0.hook_resid_post"]` of step t,
            `steps.stack(name)` of all steps. Of keys and values `steps[t]` has the new position only.

        Raises:
            As `generate`.
        """
        return generate_with_cache(self, inputs, names_filter, fwd_hooks, steps, device, pos_slice, **kwargs)
