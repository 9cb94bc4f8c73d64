"""The tree of hook points that mirrors TransformerLens' names, and the native weights under TransformerLens' names."""

from collections.abc import Callable
from dataclasses import dataclass

from einops import rearrange
from torch import Tensor, nn

from vitreous.errors import UnsupportedError
from vitreous.hooked.attach import n_heads, norm_kind
from vitreous.hooked.site import Attention
from vitreous.hooked.weight import weights
from vitreous.hooked.wiring import find


class Group(nn.Module):
    """Holds hook points (`blocks[3].ln1.hook_scale`) and, where it stands for a module with weights, views of them."""


class AttentionGroup(Group):
    """Hook points and weights of one attention layer; views, not copies, unless the weights are offloaded."""

    def __init__(
        self, native: nn.Module, layer: nn.Module, site: Attention, scale: Callable[[], Tensor | None]
    ) -> None:
        super().__init__()
        self.__dict__["_native"] = (native, layer, site, scale)

    @property
    def native(self) -> nn.Module:
        """The native attention module."""
        return self.__dict__["_native"][0]

    @property
    def W_O(self) -> Tensor:
        """`[heads, d_head, d]`."""
        native, layer, site, _ = self.__dict__["_native"]
        return rearrange(_weight(layer, native, site.out), "d (h e) -> h e d", h=n_heads(native))

    @property
    def b_O(self) -> Tensor | None:
        """`[d]`, or None."""
        native, layer, site, _ = self.__dict__["_native"]
        out = find(layer, native, site.out)
        return None if out is None else weights(out, "bias")[0]

    @property
    def W_Q(self) -> Tensor:
        """`[heads, d, d_head]`."""
        return self._qkv(0)

    @property
    def W_K(self) -> Tensor:
        """`[key/value heads, d, d_head]`."""
        return self._qkv(1)

    @property
    def W_V(self) -> Tensor:
        """`[key/value heads, d, d_head]`."""
        return self._qkv(2)

    @property
    def contribution_scale(self) -> Tensor | None:
        """LayerScale: what the projection's output is multiplied by before it is added to the stream, or None."""
        return self.__dict__["_native"][3]()

    def _qkv(self, which: int) -> Tensor:
        native, layer, site, _ = self.__dict__["_native"]
        d_head = self.W_O.shape[1]
        if isinstance(native, nn.MultiheadAttention):
            together, separate = weights(native, "in_proj_weight", f"{'qkv'[which]}_proj_weight")
            weight = together if separate is None else separate
        elif len(site.qkv) in (1, 3):
            weight = _weight(layer, native, site.qkv[which % len(site.qkv)])
        else:
            raise UnsupportedError(f"the q, k and v weights of {type(native).__name__} are not known")
        fused = len(weight) == 3 * d_head * n_heads(native)
        return rearrange(weight.chunk(3)[which] if fused else weight, "(h e) d -> h d e", e=d_head)


def _weight(layer: nn.Module, native: nn.Module, path: str) -> Tensor:
    module = find(layer, native, path)
    (weight,) = (None,) if module is None else weights(module, "weight")
    if weight is None:
        raise UnsupportedError(f"{type(native).__name__} has no weight at {path!r}")
    if not weight.is_floating_point():
        raise UnsupportedError(f"the weight at {path!r} of {type(native).__name__} is quantised ({weight.dtype})")
    return weight


@dataclass(frozen=True)
class NormView:
    """A native norm as arithmetic needs it: whether it centres, and its gain."""

    module: nn.Module

    @property
    def centred(self) -> bool:
        """LayerNorm subtracts the mean, RMSNorm does not."""
        return norm_kind(self.module) == "LN"

    @property
    def gain(self) -> Tensor | float:
        """The elementwise gain; Gemma's norms store it minus one."""
        (weight,) = weights(self.module, "weight")
        if weight is None:
            return 1.0
        return 1.0 + weight if type(self.module).__name__.startswith("Gemma") else weight

    @property
    def bias(self) -> Tensor | float:
        """What is added after the gain."""
        bias = getattr(self.module, "bias", None)
        return 0.0 if bias is None else bias

    def __call__(self, x: Tensor) -> Tensor:
        """The native norm, without its hooks."""
        return self.module.forward(x)
