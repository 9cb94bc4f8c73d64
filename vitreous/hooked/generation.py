"""Generation with hooks: edits at chosen steps, and the activations of every step."""

from collections.abc import Callable, Sequence
from typing import Any, no_type_check, overload

import torch
from torch import Tensor

from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked.cache import ActivationCache
from vitreous.hooked.keeper import BY_HEAD
from vitreous.hooked.model import NamesFilter
from vitreous.hooked.step import Steps, any_before, at_steps

SQUARE = ("hook_attn_scores", "hook_pattern")
GROWING = (".attn.hook_k", ".attn.hook_v")
"""What self-attention reads grows by one position per step; a cache keeps the new one."""


class StepCaches(Sequence[ActivationCache]):
    """The activations of a generation, step by step.

    `steps[0]` holds the whole prompt, `steps[t]` the one position of the t-th generated token. The last token that was
    generated has been read by no step: there are as many steps as new tokens.
    """

    def __init__(self, steps: Sequence[ActivationCache]) -> None:
        self.steps = tuple(steps)

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> ActivationCache: ...
    @overload
    def __getitem__(self, index: slice) -> "StepCaches": ...
    def __getitem__(self, index: int | slice) -> "ActivationCache | StepCaches":
        return StepCaches(self.steps[index]) if isinstance(index, slice) else self.steps[index]

    def tower(self, prefix: str) -> "StepCaches":
        """The same under one tower's own names: `steps.tower("language").stack(("resid_post", 3))`."""
        return StepCaches([step.tower(prefix) for step in self.steps])

    def stack(self, name: Any) -> Tensor:
        """What each new token was predicted from: the last position of every step.

        Args:
            name: as an `ActivationCache` takes it.

        Returns:
            `[b, steps, ...]`: instead of the position axis there is one of steps, right after the batch. Scores and
            patterns are `[b, steps, heads, k]`; keys that did not exist yet have a pattern of 0 and the lowest score.

        Raises:
            BadInputError: for a point that does not fire at every step, such as those of the vision tower.
        """
        values, axis = self._of(name)
        return torch.stack([value.select(axis, -1) for value in values], 1)

    def concat(self, name: Any) -> Tensor:
        """The whole sequence as one forward over prompt and generated tokens would show it.

        Args:
            name: as an `ActivationCache` takes it.

        Returns:
            `[b, prompt + steps - 1, ...]`, the position axis where it always is.

        Raises:
            BadInputError: as for `stack`.
        """
        values, axis = self._of(name)
        return torch.cat(values, axis)

    def _of(self, name: Any) -> tuple[list[Tensor], int]:
        """The values of one point at all steps, and their position axis; scores and patterns padded to one length."""
        found = self.steps[0].name_of(name)
        silent = [t for t, step in enumerate(self.steps) if found not in step.cache_dict]
        if silent:
            raise BadInputError(
                f"{found} did not fire at step {silent[0]}, only points of the language model fire at every step; "
                "`steps[0]` has those of the prompt"
            )
        values = [step.cache_dict[found] for step in self.steps]
        if found.endswith(SQUARE):
            longest = max(value.shape[-1] for value in values)
            fill = 0.0 if found.endswith("hook_pattern") else torch.finfo(values[0].dtype).min
            values = [torch.nn.functional.pad(v, (0, longest - v.shape[-1]), value=fill) for v in values]
        return values, -3 if found.endswith(BY_HEAD) else -2


class _Recorder(dict[str, Tensor]):
    """A cache that files what it is given under the step that is running."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self.clock = clock
        self.steps: list[dict[str, Tensor]] = []

    def __setitem__(self, name: str, value: Tensor) -> None:
        step = self.clock.step
        while len(self.steps) <= step:
            self.steps.append({})
        self.steps[step][name] = value[:, -1:].clone() if step and name.endswith(GROWING) else value


def generate(
    model: Any, inputs: Any, fwd_hooks: Sequence[tuple[Any, Callable[..., Any]]], steps: Steps, **kwargs: Any
) -> Any:
    """See `HookedVLM.generate`."""
    if fwd_hooks:
        _demand_steps(model, kwargs)
        _demand_effect(model, fwd_hooks, steps, kwargs)
    model.clock.restart()
    with model.hooks([(name, at_steps(hook, steps)) for name, hook in fwd_hooks]):
        return model.native.generate(**model._inputs(inputs), **kwargs)


def generate_with_cache(
    model: Any,
    inputs: Any,
    names_filter: NamesFilter,
    fwd_hooks: Sequence[tuple[Any, Callable[..., Any]]],
    steps: Steps,
    device: Any,
    pos_slice: Any,
    **kwargs: Any,
) -> tuple[Any, StepCaches]:
    """See `HookedVLM.generate_with_cache`."""
    _demand_steps(model, kwargs)
    if fwd_hooks:
        _demand_effect(model, fwd_hooks, steps, kwargs)
    recorder = _Recorder(model.clock)
    with model.hooks([(name, at_steps(hook, steps)) for name, hook in fwd_hooks]):  # first the edits, then the cache
        _, caching, _ = model.get_caching_hooks(names_filter, False, device, cache=recorder, pos_slice=pos_slice)
        out = generate(model, inputs, caching, None, **kwargs)
    ordered = [{name: step[name] for name in model.hook_dict if name in step} for step in recorder.steps]
    return out, StepCaches([ActivationCache(step, model) for step in ordered])


_ONE_TOKEN = {
    "num_beams": "beam search reorders rows between steps, so that no row of an activation belongs to one output",
    "assistant_model": "assisted decoding reads several tokens in one step",
    "prompt_lookup_num_tokens": "prompt lookup reads several tokens in one step",
    "prefill_chunk_size": "a prompt that is read in chunks takes several steps",
}


@no_type_check
def _demand_steps(model: Any, kwargs: dict[str, Any]) -> None:
    """Raises unless step t reads exactly the t-th token of each row.

    Raises:
        UnsupportedError: naming the option that makes it otherwise.
    """
    config = kwargs.get("generation_config") or getattr(model.native, "generation_config", None)
    for option, why in _ONE_TOKEN.items():
        value = kwargs.get(option, getattr(config, option, None))
        if value not in (None, 0, 1):
            raise UnsupportedError(f"generate with hooks and {option}={value!r}: {why}; generate without it")
    if kwargs.get("use_cache", getattr(config, "use_cache", True)) is False:
        raise UnsupportedError("generate with hooks needs a KV cache: without one every step reads everything again")
    kind = kwargs.get("cache_implementation", getattr(config, "cache_implementation", None))
    if kind is not None and "static" in kind:
        raise UnsupportedError(f"generate with hooks and cache_implementation={kind!r}: keys would include empty slots")


def _demand_effect(model: Any, fwd_hooks: Sequence[tuple[Any, Any]], steps: Steps, kwargs: dict[str, Any]) -> None:
    """Raises if a hook cannot act at any of its steps.

    Raises:
        BadInputError: for steps that never come, or a point of the prompt alone and steps after it.
    """
    most = kwargs.get("max_new_tokens")
    if most is not None and not any_before(steps, most):
        raise BadInputError(f"steps={steps}: with max_new_tokens={most} the last step is {most - 1}")
    if any_before(steps, 1):
        return
    for name, _ in fwd_hooks:
        points = model.select(name)
        if not any(point.startswith("language.") for point in points):
            raise BadInputError(f"{points[0]} fires while the prompt is read, at step 0; steps={steps} leave it out")
