"""What each kind of site does to the native modules while one of its points is hooked."""

from functools import partial
from typing import Any, no_type_check

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from vitreous.errors import UnsupportedError
from vitreous.hooked.attention import SLOT, Switch
from vitreous.hooked.fallback import AttentionMode, per_head
from vitreous.hooked.point import Point, exact, through
from vitreous.hooked.site import SPLIT_POINTS, Injected, Out
from vitreous.hooked.view import VIEWS, Call, View
from vitreous.hooked.weight import weights
from vitreous.hooked.wiring import Points, Undo, around, on_both, on_input, on_output


@no_type_check
def attach_out(module: nn.Module, points: Points, site: Out, call: Call) -> list[Undo]:
    """The output of a module, shown as `b pos d`."""
    (point,) = points.values()

    def plain(out: Tensor) -> Tensor:
        out = point(_leaf(out)) if site.constant else exposed(point, out)
        return out.clone() if site.copy else out

    def part(out: Tensor) -> Tensor:
        start, end = call.given.get(site.start, 0), call.given.get(site.until, out.shape[1])
        return torch.cat([out[:, :start], point(out[:, start:end].clone()), out[:, end:]], 1)

    if site.start or site.until:
        return [*call.undo(), on_output(module, call(part))]
    if not site.layout:  # what a projection puts out is read after the heads' results, which come before
        return [*call.undo(), on_output(module, call(plain), prepend=not isinstance(module, nn.Linear))]
    axes = (layout := site.layout).split()
    grid = [a for a in axes if a not in ("b", "d")]
    shown = f"b ({' '.join(grid)}) d"

    def edit(out: Tensor) -> Tensor:
        sizes = {axis: n for axis, n in zip(axes, out.shape, strict=True) if axis in grid}
        return rearrange(point(rearrange(out, f"{layout} -> {shown}")), f"{shown} -> {layout}", **sizes)

    return [*call.undo(), on_output(module, call(edit))]


@no_type_check
def _leaf(value: Tensor) -> Tensor:
    """A copy that gradients reach, where there are gradients."""
    value = value.clone()
    return value.requires_grad_() if torch.is_grad_enabled() and not value.requires_grad else value


@no_type_check
def attach_in(module: nn.Module, points: Points, call: Call, copy: bool = False) -> list[Undo]:
    """The input of a module."""
    (point,) = points.values()
    return [*call.undo(), on_input(module, call(partial(exposed, point, copy=copy)))]


@no_type_check
def exposed(point: Point, x: Tensor, copy: bool = False) -> Tensor:
    """Passes a tensor through a point; of a view a copy, as an edit in place must not reach what it is a view of.

    Unedited, the view itself goes on: a copy has other strides, and in bfloat16 a product of it rounds differently.
    """
    if not (copy or x._is_view()):
        return point(x)
    new, edited = through(point, x.clone())
    return new if edited or new.requires_grad else x


@no_type_check
def attach_half(module: nn.Module, points: Points, half: int) -> list[Undo]:
    """One half of what a packed projection returns."""
    (point,) = points.values()

    def edit(out: Tensor) -> Tensor:
        halves = list(out.chunk(2, -1))
        halves[half] = point(halves[half].clone())
        return torch.cat(halves, -1)

    return [on_output(module, edit)]


@no_type_check
def attach_norm(module: nn.Module, points: Points, call: Call) -> list[Undo]:
    """The divisor of a norm, then its output; the native output stands unless the divisor was edited."""
    scale_point, *after = points.values()

    def edit(x: Tensor, out: Tensor) -> Tensor:
        if scale_point.active:
            (bias,) = weights(module, "bias")
            bias = torch.zeros_like(out[..., :1]) if bias is None else bias
            scale, edited = through(scale_point, norm_scale(module, x))
            out = exact(out, (out - bias) * (norm_scale(module, x) / scale) + bias, edited)
        for point in after:
            out = point(out) if point.active else out
        return out

    return [*call.undo(), on_both(module, call(edit))]


@no_type_check
def norm_scale(module: nn.Module, x: Tensor) -> Tensor:
    """What a norm divides by: `sqrt(var(x) + eps)`, or `sqrt(mean(x^2) + eps)` for RMSNorm; `[..., 1]`.

    Raises:
        UnsupportedError: if the module is neither a LayerNorm nor an RMSNorm.
    """
    kind = norm_kind(module)
    eps = next((getattr(module, n) for n in ("eps", "variance_epsilon") if getattr(module, n, None) is not None), 0.0)
    x = x.float() if x.dtype != torch.float64 else x
    power = x.var(-1, keepdim=True, unbiased=False) if kind == "LN" else x.pow(2).mean(-1, keepdim=True)
    return (power + eps).sqrt()


@no_type_check
def norm_kind(module: nn.Module) -> str:
    """`LN` or `RMS`, by the class of the norm."""
    name = type(module).__name__
    for part, kind in (("RMSNorm", "RMS"), ("RmsNorm", "RMS"), ("LayerNorm", "LN")):
        if part in name or any(part in c.__name__ for c in type(module).__mro__):
            return kind
    raise UnsupportedError(f"{name} is no norm that vitreous knows; supported: LayerNorm and RMSNorm classes")


@no_type_check
def attach_attention(
    module: nn.Module,
    out: nn.Module | None,
    points: Points,
    route: str,
    switch: Switch,
    projections: list[nn.Module] = (),
    view: View = VIEWS[""],
) -> list[Undo]:
    """q, k, v, scores, pattern and z from the attention function; the heads' results from the output projection."""
    undo: list[Undo] = []
    local = {name.rpartition(".")[2]: point for name, point in points.items()}
    result = local.get("hook_result")
    inside = any(point.active for point in local.values() if point is not result)
    if route in ("interface", "varlen") and inside:
        undo += [_remember(module, local), switch.acquire()]
    elif route == "mode":
        undo.append(_inside_mode(module, local))
        undo.append(_fused(module))
    elif route == "softmax":
        undo += _around_softmax(module, out, local, projections, view)
    own_result = route == "mode" and isinstance(module, nn.MultiheadAttention)
    if result is not None and result.active and isinstance(out, nn.Linear) and not own_result:
        undo.append(on_both(out, partial(_results, out, n_heads(module), result)))
    return undo


@no_type_check
def _fused(module: nn.Module) -> Undo:
    """timm's modules call the fused function only if they say so; without it nothing but softmax could be seen."""
    if module.__dict__.get("fused_attn", True):
        return lambda: None
    module.fused_attn = True
    return partial(setattr, module, "fused_attn", False)


@no_type_check
def _results(out: nn.Linear, heads: int, point: Point, z: Tensor, native: Tensor) -> Tensor:
    weight, bias = weights(out, "weight", "bias")
    if not weight.is_floating_point():
        raise UnsupportedError(
            f"hook_result reads the weight of a {type(out).__name__}, which is stored as {weight.dtype}"
        )
    return per_head(point, z, native, weight, bias, heads)


@no_type_check
def _remember(module: nn.Module, points: Points) -> Undo:
    """Lays the points down where the attention function will look for them."""
    module.__dict__[SLOT] = points

    def undo() -> None:
        module.__dict__.pop(SLOT, None)

    return undo


@no_type_check
def _around_softmax(
    module: nn.Module, out: nn.Module, points: dict[str, Point], projections: list[nn.Module], view: View
) -> list[Undo]:
    """q, k and v from the projections (or the fused one), z from the output projection's input; the rest from softmax.

    What is not hooked stays native: only scores and pattern need the interception.
    """
    entered: list[Any] = [()]
    undo = [on_input(module, lambda x: entered.__setitem__(0, tuple(x.shape)) or x)]

    def shown(name: str, value: Tensor) -> Tensor:
        if not points[name].active:
            return value
        heads = rearrange(value, "b ... (h e) -> b (...) h e", h=n_heads(module))
        back = view.hide(module, points[name](view.show(module, heads.clone(), entered[0])), entered[0])
        return back.reshape(value.shape)

    def project(names: tuple[str, ...], value: Tensor) -> Tensor:
        parts = value.chunk(len(names), -1)
        new = [shown(name, part) for name, part in zip(names, parts, strict=True)]
        return value if all(a is b for a, b in zip(new, parts, strict=True)) else torch.cat(new, -1)

    groups = [("hook_q",), ("hook_k",), ("hook_v",)] if len(projections) == 3 else [("hook_q", "hook_k", "hook_v")]
    undo += [on_output(p, partial(project, n), prepend=False) for p, n in zip(projections, groups, strict=True)]
    undo.append(on_input(out, partial(shown, "hook_z")))
    if any(points[name].active for name in ("hook_attn_scores", "hook_pattern")):
        square = {n: points[n] for n in ("hook_attn_scores", "hook_pattern")}
        undo.append(_inside_mode(module, square, n_heads(module)))
    return undo


@no_type_check
def n_heads(module: nn.Module) -> int:
    """Number of query heads of an attention module, from the module or its configuration.

    Raises:
        UnsupportedError: if neither says it.
    """
    for name in ("num_heads", "num_attention_heads", "n_heads", "groups"):
        for holder in (module, getattr(module, "config", None)):
            if isinstance(getattr(holder, name, None), int):
                return getattr(holder, name)
    raise UnsupportedError(f"{type(module).__name__} does not say how many heads it has")


@no_type_check
def _inside_mode(module: nn.Module, named: Any, heads: int = 1) -> Undo:
    """Runs a module's forward with softmax and fused attention intercepted."""
    native, own = module.forward, module.__dict__.get("forward")

    def forward(*args: Any, **kwargs: Any) -> Any:
        with AttentionMode(named, heads):
            return native(*args, **kwargs)

    def undo() -> None:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own

    module.__dict__["forward"] = forward
    return undo


@no_type_check
def attach_parameter(
    module: nn.Module, points: Points, name: str, method: str, always: bool, within: str
) -> list[Undo]:
    """A raw parameter (or an embedding's output), or what the module's method makes of it at another image size.

    For the time of one forward an attribute of the instance hides the parameter (or the method), so an edit takes the
    very place of the parameter. The hook sees a copy: an edit in place must not change the weights.
    """
    (point,) = points.values()
    hidden, held = module.__dict__, getattr(module, name)

    def before(kwargs: dict[str, Any]) -> None:
        if always or kwargs.get("interpolate_pos_encoding"):
            resize = getattr(module, method)
            hidden[method] = lambda *a, **k: point(resize(*a, **k).clone())
        elif not isinstance(held, nn.Module):
            hidden[name] = point(_leaf(weights(module, name)[0]))

    def embedded(out: Tensor) -> Tensor:
        return out if method in hidden else point(out)

    def after() -> None:
        hidden.pop(method, None)
        if not isinstance(held, nn.Module):
            hidden.pop(name, None)

    return [
        around(module, within, before, after),
        *([on_output(held, embedded)] if isinstance(held, nn.Module) else []),
    ]


@no_type_check
class _Factor:
    """Stands in for a parameter on the right of a matrix product, and shows the product to a point."""

    def __init__(self, weight: Tensor, point: Point) -> None:
        self.weight = weight
        self.point = point

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Tensor:
        x, factor = args
        return factor.point(func(x, factor.weight))


@no_type_check
def attach_product(module: nn.Module, points: Points, name: str, within: str) -> list[Undo]:
    """The product of something with a raw parameter, which an attribute of the instance hides meanwhile."""
    (point,) = points.values()
    held = getattr(module, name)
    if isinstance(held, nn.Module):
        return [on_output(held, point)]

    def before(_: dict[str, Any]) -> None:
        module.__dict__[name] = _Factor(getattr(module, name), point)

    return [around(module, within, before, lambda: module.__dict__.pop(name, None))]


@no_type_check
def attach_injected(tower: nn.Module, points: Points, site: Injected) -> list[Undo]:
    """What a method of the tower adds to the stream, call by call: the method of zeros is added to the stream."""
    native, calls = getattr(tower, site.method), []

    def inject(stream: Tensor, *rest: Any) -> Tensor:
        point = dict(enumerate(points.values())).get(len(calls))
        calls.append(point)
        if point is None or not point.active:
            return native(stream, *rest)
        return stream + point(native(torch.zeros_like(stream), *rest))

    tower.__dict__[site.method] = inject
    return [
        lambda: tower.__dict__.pop(site.method),
        tower.register_forward_pre_hook(lambda *_: calls.clear()).remove,
    ]


@no_type_check
def attach_split(norm: nn.Module, projections: list[nn.Linear], d_head: int, points: Points) -> list[Undo]:
    """Each head's own input to q, k and v, before the norm: `q_h = W_Q^h norm(x_h) + b_Q^h`."""
    attn_in, *inputs = (points.get(name) for name in SPLIT_POINTS)
    heads = [linear.out_features // d_head for linear in projections]
    seen: dict[int, tuple[Tensor, Tensor, bool]] = {}

    def before(x: Tensor) -> Tensor:
        copies = _per_head(x, max(heads))
        edited = False
        if attn_in is not None and attn_in.active:
            copies, edited = through(attn_in, copies.clone())
        for i, point in enumerate(inputs):
            own = copies[..., : heads[i], :]
            own, again = through(point, own.clone() if point.active else own)
            seen[i] = (own, x, edited or again)
        return x

    def project(i: int, out: Tensor) -> Tensor:
        own, x, edited = seen.pop(i)
        if not (edited or own.requires_grad):
            return out
        rebuilt = _project(projections[i], norm.forward(own), d_head)
        if edited:
            return rebuilt.to(out.dtype)
        # same value; the gradient reaches the heads' inputs and is counted once further up
        native = _project(projections[i], norm.forward(_per_head(x, heads[i])), d_head)
        return out + (rebuilt - rebuilt.detach()) - (native - native.detach())

    return [on_input(norm, before), *(on_output(linear, partial(project, i)) for i, linear in enumerate(projections))]


@no_type_check
def _per_head(x: Tensor, heads: int) -> Tensor:
    return x.unsqueeze(-2).expand(*x.shape[:-1], heads, x.shape[-1])


@no_type_check
def _project(linear: nn.Linear, x: Tensor, d_head: int) -> Tensor:
    """`x` is `[..., heads, d]`: every head projects its own input; returns `[..., heads * d_head]`."""
    weight, bias = weights(linear, "weight", "bias")
    weight = rearrange(weight, "(h e) d -> h e d", e=d_head)
    y = rearrange(einsum(x, weight, "... h d, h e d -> ... h e"), "... h e -> ... (h e)")
    return y if bias is None else y + bias
