"""Weights where arithmetic can use them: those that accelerate has offloaded are brought in, one module at a time."""

from typing import Any, no_type_check

import torch
from torch import Tensor, nn


@no_type_check
def weights(module: nn.Module, *names: str) -> tuple[Any, ...]:
    """Parameters of a module, by name; None for those that it does not have.

    A hook on a module runs outside of its forward, where an offloaded weight is on the meta device; this loads it from
    wherever it was put, so what comes back is then a copy that nothing else holds. Otherwise it is the weight itself.
    """
    found = tuple(getattr(module, name, None) for name in names)
    hook = getattr(module, "_hf_hook", None)
    if hook is None or not any(isinstance(t, Tensor) and t.is_meta for t in found):
        return found
    hook.pre_forward(module)
    try:
        return tuple(getattr(module, name, None) for name in names)
    finally:
        hook.post_forward(module, None)


def device_of(native: nn.Module) -> torch.device:
    """Where a native model computes first: for a dispatched model not where its weights are kept, but where they go."""
    for module in native.modules():
        hook: Any = getattr(module, "_hf_hook", None)
        for each in getattr(hook, "hooks", [hook]):
            device = getattr(each, "execution_device", None)
            if device is not None:
                return torch.device(device)
        own = next(module.parameters(recurse=False), None)
        if own is not None and not own.is_meta:
            return own.device
    return next(native.parameters()).device
