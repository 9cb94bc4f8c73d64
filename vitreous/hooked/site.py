"""Sites: where in a native module a hook point lives. Plain data; `wiring` gives each kind its behaviour.

A path is dotted and relative to the module that the table belongs to (the tower, or one layer of it); `"a|b"` takes the
first that exists, a leading `/` starts at the native model's root, and the empty path is the module itself.
"""

from dataclasses import dataclass

ATTENTION_POINTS = ("hook_q", "hook_k", "hook_v", "hook_attn_scores", "hook_pattern", "hook_z", "hook_result")
SPLIT_POINTS = ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input")


@dataclass(frozen=True)
class Out:
    """The output of a module (its first element, when it returns a tuple).

    Attributes:
        path: the module.
        layout: how the native tensor is laid out, as the left side of an einops pattern; the hook sees `b (h w) d`.
        optional: the module may be missing (None or Identity); then the point does not exist.
        needs: a path that must exist, too, for the point to exist (the gate of a gated MLP).
        identity: an `nn.Identity` there counts as a module (drop path, where every size calls it).
        nth: which call of a module that runs several times in one forward; 0 for one that runs once.
        copy: the native forward adds to the output in place; it gets a copy, so that caches keep what hooks saw.
        scale: LayerScale's parameter, relative to the layer, where it is not a parameter of the module itself.
        view: name of the view (see `view`) that turns the native layout into the stream's, by what enters the layer.
        start: name of the layer's argument with the position from which the output is shown; from the first if empty.
        until: as `start`, of the position before which it ends; to the last if empty.
        constant: it does not depend on weights (sinusoids); it is made to require a gradient, so that one arrives.
    """

    path: str
    layout: str = ""
    optional: bool = False
    needs: str = ""
    identity: bool = False
    nth: int = 0
    copy: bool = False
    scale: str = ""
    view: str = ""
    start: str = ""
    until: str = ""
    constant: bool = False


@dataclass(frozen=True)
class In:
    """The first input of a module.

    Attributes:
        path: the module.
        optional: the module may be missing; then the point does not exist.
        identity: an `nn.Identity` will do: the native forward calls it all the same.
        copy: others read the same tensor (it is part of the output, too): an edit in place must not reach them.
        view: see `Out.view`.
    """

    path: str
    optional: bool = False
    identity: bool = False
    copy: bool = False
    view: str = ""


@dataclass(frozen=True)
class Branch:
    """The pre-activation of an MLP (gated or not), where a gated one may pack both branches into one projection.

    Attributes:
        own: the branch's own projection, if it has one.
        packed: the projection of an ungated MLP, or of both branches at once (then twice as wide as `down` reads).
        down: the projection that reads what the branches make.
        linear: the branch that is not the gate; an ungated MLP does not have it.
    """

    own: str
    packed: str
    down: str
    linear: bool = False


@dataclass(frozen=True)
class Norm:
    """A LayerNorm or RMSNorm: `hook_scale` (the divisor) and `hook_normalized` (its output, after gain and bias).

    Attributes:
        path: the module.
        also: one more point on the output, outside the group, e.g. `hook_ln_final`.
        optional: the module may be missing; then the points do not exist.
        nth: see `Out.nth`; counted from the start of the forward of what `since` names.
        view: see `Out.view`.
        since: path of a module; what the table belongs to if empty.
    """

    path: str
    also: str = ""
    optional: bool = False
    nth: int = 0
    view: str = ""
    since: str = ""


@dataclass(frozen=True)
class Attention:
    """An attention module: q, k, v, scores, pattern, z and the result of each head.

    Attributes:
        path: the module that calls the attention function.
        out: the output projection, relative to `path`; with a leading `/`, relative to the layer.
        qkv: the q, k and v projections relative to `path`, or one fused projection, or none (only weights need them);
            three alternatives may lead to one and the same fused projection, too.
        route: `interface` when the module asks transformers for its attention function; `varlen` when it asks once
            for every image or window of a packed sequence (see `attention`); `mode` when sdpa or
            `nn.MultiheadAttention` must be intercepted; `softmax` when scores and pattern are seen around softmax (or
            sdpa) and q, k, v and z are what the projections put out and the output projection takes in.
        view: name of the view (see `view`) that cuts a sequence into windows, where the pattern has an axis for them.
        optional: the module may be missing; then the points do not exist.
        total: the point where the heads' results and the bias add up (times LayerScale, where there is one).
        norm: key of the norm that the total goes through first (Gemma's `ln1_post`), if any.
    """

    path: str
    out: str = ""
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    route: str = "interface"
    optional: bool = False
    total: str = "hook_attn_out"
    norm: str = ""
    view: str = ""


@dataclass(frozen=True)
class Parameter:
    """A raw parameter (position embeddings) that a module reads in its forward, or an embedding that it may resize.

    Attributes:
        path: the module that holds it.
        name: the attribute: a parameter, or an `nn.Embedding`.
        method: the module's method that returns the parameter resized to another image size.
        always: whether the native forward always calls that method (else only when asked to interpolate).
        within: the method of the module in which it is read.
    """

    path: str
    name: str
    method: str = "interpolate_pos_encoding"
    always: bool = False
    within: str = "forward"


@dataclass(frozen=True)
class Product:
    """The product of a hidden state with a raw parameter: `x @ module.name` (a projection that is no module).

    Attributes:
        path: the module that holds it.
        name: the parameter; when it is a module instead, the point is that module's output.
        within: the method of the module in which the product is made.
    """

    path: str
    name: str
    within: str = "forward"


@dataclass(frozen=True)
class ResidPre:
    """The input of a layer.

    Attributes:
        copy: others read the same tensor (it is part of the tower's output, too): an edit here must not reach them.
        view: name of the view that turns what enters and leaves the layer into the stream.
    """

    copy: bool = False
    view: str = ""


@dataclass(frozen=True)
class ResidMid:
    """The stream between two sublayers: the input of the second one's norm *and* the skip path around it.

    Attributes:
        norm: the module that reads the stream there (the MLP itself, where its norm comes after it).
        view: name of the view that turns what the norm reads into the stream, where they are laid out differently.
    """

    norm: str
    view: str = ""


@dataclass(frozen=True)
class MlpIn:
    """What the second norm reads, apart from the skip path (TransformerLens' `hook_mlp_in`)."""


@dataclass(frozen=True)
class ResidPost:
    """The output of a layer."""


@dataclass(frozen=True)
class Scaled:
    """A contribution that no module outputs: `scale * output`, with a raw parameter of the layer.

    Attributes:
        path: the module whose output is scaled.
        scale: the layer's parameter, e.g. `lambda_1`; when it is None the output itself is the contribution.
        tanh: whether the factor is the parameter's hyperbolic tangent (a gate).
        rows: name of the layer's argument with one more factor, `[b, 1, pos, 1]`: 0 at positions that get nothing.
    """

    path: str
    scale: str
    tanh: bool = False
    rows: str = ""


@dataclass(frozen=True)
class Viewed:
    """A contribution that no module outputs as it is added: the layer rearranges it first (windows, frames, pooling).

    Attributes:
        path: the module whose output is rearranged.
        view: name of the view that does it.
        optional: the module may be missing; then the point does not exist.
    """

    path: str
    view: str
    optional: bool = False


@dataclass(frozen=True)
class Split:
    """Separate inputs of q, k and v per head, before the first norm (TransformerLens' `hook_attn_in`, `hook_q_input`).

    Attributes:
        norm: the first norm.
        qkv: the three projections, relative to the layer.
    """

    norm: str
    qkv: tuple[str, str, str]


@dataclass(frozen=True)
class Injected:
    """What the tower itself adds to the stream after each of its first layers, by a method `f(stream, *rest)`.

    Attributes:
        method: name of the method.
        layers: the config's field (of the whole model, dotted) that is as long as there are such layers.
    """

    method: str
    layers: str


StreamSite = ResidPre | ResidMid | MlpIn | ResidPost | Scaled | Viewed | Split
Site = Out | In | Branch | Norm | Attention | Parameter | Product | Injected | StreamSite


def names(key: str, site: Site) -> tuple[str, ...]:
    """The hook points of one row of a site table.

    >>> names("ln1", Norm("layer_norm1"))
    ('ln1.hook_scale', 'ln1.hook_normalized')
    """
    if isinstance(site, Norm):
        return (f"{key}.hook_scale", f"{key}.hook_normalized", *((site.also,) if site.also else ()))
    if isinstance(site, Attention):
        return tuple(f"{key}.{name}" for name in ATTENTION_POINTS if name != "hook_result" or site.out)
    if isinstance(site, Split):
        return SPLIT_POINTS
    return (key,)
