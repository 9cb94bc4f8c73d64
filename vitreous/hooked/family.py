"""Families: one frozen record per native architecture says where each hook point lives. No behaviour here."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn

from vitreous.hooked.site import (
    Attention,
    Branch,
    In,
    Injected,
    MlpIn,
    Norm,
    Out,
    ResidMid,
    ResidPost,
    ResidPre,
    Scaled,
    Site,
    Split,
)

Table = Mapping[str, Site]
Sums = tuple[tuple[str, ...], ...]

PRE_LN: Sums = (
    ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"),
    ("hook_resid_mid", "hook_mlp_out", "hook_resid_post"),
)
"""What adds up in a pre-LN layer; see `Family.sums`."""
PARALLEL: Sums = (("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post"),)
"""What adds up where attention and MLP read the same stream; there is no middle."""
POST_LN: Sums = (
    ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"),
    ("ln1.hook_normalized", "hook_mlp_out", "hook_resid_post"),
)
"""What adds up in a post-LN layer, whose output is the norm of the last sum."""
POST_LN_CROSS: Sums = (
    ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"),
    ("ln1.hook_normalized", "hook_cross_attn_out", "hook_resid_mid_cross"),
    ("ln2.hook_normalized", "hook_mlp_out", "hook_resid_post"),
    ("ln1.hook_normalized", "hook_mlp_out", "hook_resid_post"),
)
"""As `POST_LN`, in stacks some (or all) of whose layers have cross-attention between attention and MLP."""


@dataclass(frozen=True)
class Stack:
    """More layers of the same native model, run after the tower's last one (a decoder, a pooler) or before its first.

    Attributes:
        name: what its points begin with: `decoder` gives `decoder.blocks.0.hook_resid_pre`.
        base: path of the module that the other paths are relative to, from the native model's root.
        layers: path of the list of layers; or of a single one, whose points have no number: `pool.attn.hook_q`.
        block: rows of one layer.
        sums: what adds up in a layer.
        embed: rows before its first layer.
        head: rows after its last layer.
        first: whether it runs before the tower: the encoder of a language model whose tower is the decoder.
    """

    name: str
    base: str
    layers: str
    block: Table
    sums: Sums = PRE_LN
    embed: Table = field(default_factory=dict)
    head: Table = field(default_factory=dict)
    first: bool = False


LIBRARIES = ("timm", "open_clip")
"""Libraries whose classes are listed under `library.Class`; every other class comes from transformers."""


@dataclass(frozen=True)
class Entry:
    """How one native class uses the family's tower.

    Attributes:
        tower: path of the tower inside the native model; empty when the model is the tower.
        call: the method that runs the tower alone; empty for the model's own forward.
        head: rows added after the family's own `head` table (classifier, projection).
        stacks: further stacks of layers, in execution order, before the rows of `head`.
        final: paths, from the root, of what a language model's output goes through before the unembedding, in order.
        given: arguments that the tower needs when it runs without the rest of its model, e.g. `{"is_decoder": True}`.
        drop: for each prefix of weights that published checkpoints may lack, the options that build the model
            without that part, e.g. `{"pooler.": {"add_pooling_layer": False}}`.
        inert: globs of points that cannot change this class's output (a pooling head that runs and is not used).
        argument: what `call` names its input, where it is not `pixel_values` or `input_ids`.
        whole: what the native forward names it, where it is not `argument`.
        softcap: the config's field with the `c` of logits `c tanh(logits / c)`, if the class caps them.
    """

    tower: str = ""
    call: str = ""
    head: Table = field(default_factory=dict)
    stacks: tuple[Stack, ...] = ()
    final: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    drop: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inert: tuple[str, ...] = ()
    argument: str = ""
    whole: str = ""
    softcap: str = ""


@dataclass(frozen=True)
class Family:
    """Where the hook points of one native architecture live.

    Attributes:
        name: short name, as shown by `vitreous models`.
        kind: what goes in, and out: `text` encodes, `fusion` reads image and text in one sequence, `language` predicts
            the next token, `connector` takes what a vision tower gives to a language model.
        classes: native class name -> how it uses the tower; `timm.Eva` and `open_clip.CLIP` say whose class it is.
        layer: classes of the layers that `block` describes; empty where a native class has layers of one kind only.
        embed: rows before the first block, relative to the tower, in execution order.
        layers: path of the list of layers, relative to the tower; a star stands for every stage: `stages.*.layers`.
        stage: rows after the last layer of a stage, relative to the stage: the change to the next one's width. Where
            there are such rows, a stage does not start with what the one before it ended with.
        merges: path of the list of modules that run before each stage, if they are no part of stages; `stage` rows are
            then relative to the one that runs next.
        block: rows of one layer, relative to the layer, in execution order.
        variants: rows of layers of another class than the usual one, by the name of that class.
        sums: what adds up in a layer: local names whose last is the sum of the others, the stream first and then what
            is added to it. Sums with a point that a layer does not have do not apply to it.
        between: rows of what the tower adds to the stream after its first layers, if anything: `post + added` is what
            the next layer starts with.
        head: rows after the last block, relative to the tower.
        grid: whether the native stream is `[b, rows, columns, d]`; hooks see `[b, pos, d]`.
        packed: whether the native stream is `[pos, d]`, all images one after the other; hooks see `[1, pos, d]`.
        special: kinds of the positions before the patches, in order; a kind may be followed by `*field` to repeat it
            as often as the config's field says, e.g. `register*num_register_tokens`, or a parameter's length.
        interpolate: how other image sizes are asked for: `flag` (an argument of forward), `always`, `never`, or
            `if FIELD`: always when the config's field is true, else never.
        rotary: whether q and k are rotated or normed between their projections and the attention function.
        patches: einops pattern that cuts `b c (h p) (w q)` pixels for towers that take patches and their shapes.
        argument: name of the native forward's argument that takes the pixels.
        frames: the config's name of the number of frames (video); the input is then `[b, frames, c, h, w]`.
        shrink: by how much a stage has fewer rows and columns than the one before it; 1 where all have the same.
        unroll: the config's name of the strides by which positions are ordered from pool to pool (Hiera).
        time_last: whether positions are ordered (row, column, frame) rather than (frame, row, column).
        noise: name of the argument that orders the patches of a masked autoencoder, which drops the last of them.
        padding: how the tokenizer pads (text).
        demands: fields of the config that decide about the architecture -> the value that the rows are written for.
        sizes: our name of a size -> the config's name of it (dotted; a leading `/` starts at the native model), where
            it is not the usual one. A tower without a config is its own.
        processor: transformers' image processor class (PIL backend) that fits when a checkpoint brings none.
        inert: globs of points that cannot change the output of any class; `blocks.-1.` is the last layer.
        example: hub checkpoints that load with this family, for tables and error messages.
    """

    name: str
    kind: Literal["vision", "text", "fusion", "connector", "language"]
    classes: Mapping[str, Entry]
    layers: str
    block: Table
    embed: Table = field(default_factory=dict)
    head: Table = field(default_factory=dict)
    sums: Sums = PRE_LN
    variants: Mapping[str, Table] = field(default_factory=dict)
    merges: str = ""
    stage: Table = field(default_factory=dict)
    between: Mapping[str, Injected] = field(default_factory=dict)
    grid: bool = False
    packed: bool = False
    special: tuple[str, ...] = ()
    layer: tuple[str, ...] = ()
    interpolate: str = "flag"
    rotary: bool = False
    patches: str = ""
    argument: str = "pixel_values"
    frames: str = ""
    shrink: int = 1
    unroll: str = ""
    time_last: bool = False
    noise: str = ""
    padding: Literal["longest", "max_length"] = "longest"
    demands: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
    processor: str = "ViTImageProcessorPil"
    inert: tuple[str, ...] = ()
    example: tuple[str, ...] = ()


def applicable(sums: Sums, layer: str, points: Container[str]) -> list[tuple[str, ...]]:
    """The sums that hold in one layer: those all of whose points exist; of several with one result, the first.

    Args:
        sums: of the family.
        layer: what the names of the layer's points begin with, e.g. `blocks.3.`
        points: names of all hook points.

    Returns:
        the sums, with full names.
    """
    found: dict[str, tuple[str, ...]] = {}
    for terms in sums:
        names = tuple(layer + term for term in terms)
        if all(name in points for name in names):
            found.setdefault(names[-1], names)
    return list(found.values())


ALIASES = {"hook_post_head_pre_normalize": "hook_post_proj"}
"""Second names of points, as users of ViT-Prisma know them."""


def class_of(native: nn.Module) -> str:
    """The name of a native model's class in `Family.classes`."""
    library, name = type(native).__module__.partition(".")[0], type(native).__name__
    return f"{library}.{name}" if library in LIBRARIES else name


def second_name(name: str) -> str:
    """The canonical name that a second name stands for; any other name comes back as it is."""
    prefix, dot, last = name.rpartition(".")
    return f"{prefix}{dot}{ALIASES.get(last, last)}"


@dataclass(frozen=True)
class VLMFamily:
    """Where the towers of one vision-language architecture are; what is in them their own families say, by class.

    Attributes:
        name: short name, as shown by `vitreous models`.
        classes: native class names.
        vision: path of the vision tower.
        connector: path of what maps image features into the language model's space; empty without one.
        language: path of the language model (of its decoder), without its unembedding.
        stacks: further stacks of the language model; those of an encoder run first.
        final: paths of what the language model's output goes through, in order, before the unembedding; missing ones
            are left out.
        unembed: path of the unembedding.
        head: rows of the language model that live outside of it, after its own; paths start with `/`.
        image_token: the config's field with the id of the image placeholder.
        feature_layer: the config's field that says which hidden state of the vision tower is used; empty when it is
            the tower's output. Layers from there on cannot change the output.
        layout: where an image's positions are in the sequence: a name in `vitreous.hooked.layout.LAYOUTS`.
        softcap: see `Entry.softcap`; of the text config.
        once: globs of points of the language model that a generation reaches in its first step only.
        inert: globs of points that cannot change the output of any checkpoint.
        example: hub checkpoints that load with this family.
    """

    name: str
    classes: tuple[str, ...]
    vision: str = "model.vision_tower"
    connector: str = "model.multi_modal_projector"
    language: str = "model.language_model"
    stacks: tuple[Stack, ...] = ()
    final: tuple[str, ...] = ()
    unembed: str = "lm_head"
    head: Table = field(default_factory=dict)
    image_token: str = "image_token_id"
    feature_layer: str = ""
    layout: str = ""
    softcap: str = ""
    once: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    example: tuple[str, ...] = ()


USUAL = ("hook_resid_*", "hook_attn_out", "hook_mlp_*", "ln?", "ln_*", "attn", "mlp.*", "hook_*embed", "head.*")
"""Rows that most towers have; `beyond` leaves them out."""


def beyond(family: Family) -> list[str]:
    """What a family has beyond the usual points, as globs of their names: cross-attention, poolers, decoders.

    Args:
        family: any tower.

    Returns:
        e.g. `["blocks.*.hook_cross_attn_out", "blocks.*.cross_attn.*", "decoder.blocks.*"]`, in execution order.
    """
    found: dict[str, None] = {}

    def collect(table: Table, prefix: str = "") -> None:
        for key, site in table.items():
            if not isinstance(site, Split) and not any(fnmatchcase(key, glob) for glob in USUAL):
                group, dot, _ = key.partition(".")
                several = (dot and group != "attn") or isinstance(site, Attention | Norm)
                found[f"{prefix}{group}.*" if several else prefix + key] = None

    collect(family.embed)
    collect(family.block, "blocks.*.")
    collect(family.stage, "stages.*.")
    collect(family.head)
    for entry in family.classes.values():
        for stack in entry.stacks:
            found[f"{stack.name}.*"] = None
        collect(entry.head)
    return list(found)


def after(table: Table, key: str, more: Table) -> dict[str, Site]:
    """A table with more rows after one of its rows."""
    rows: dict[str, Site] = {}
    for name, site in table.items():
        rows |= {name: site, **(more if name == key else {})}
    return rows


def pre_ln(
    *,
    ln1: str,
    attn: str,
    out: str,
    ln2: str,
    pre: str | Branch,
    post: str,
    mlp_out: str | Scaled | Out,
    attn_out: str | Scaled | Out = "",
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj"),
    attn_norm: str = "",
    mlp_norm: str = "",
    pre_linear: str | Branch = "",
    gate: str = "",
    route: str = "interface",
    ln1_post: str = "",
    ln2_post: str = "",
    view: str = "",
) -> dict[str, Site]:
    """The rows of a pre-LN block: `x + attn(ln1(x))`, then `x + mlp(ln2(x))`.

    With sandwich norms `x + ln1_post(attn(ln1(x)))`, then `x + ln2_post(mlp(ln2(x)))`: what the norms put out is added.

    Args:
        ln1: first norm.
        attn: module that calls the attention function.
        out: output projection, relative to `attn`.
        ln2: second norm.
        pre: module whose output is the MLP's pre-activation (the gate's, in a gated MLP).
        post: module whose input is the MLP's hidden activation.
        mlp_out: module whose output is added to the stream, or a raw scale times it.
        attn_out: as `mlp_out`, for attention; the attention module itself when empty.
        qkv: projections relative to `attn`.
        attn_norm: norm between the heads and the output projection, in some sizes.
        mlp_norm: norm between the MLP's hidden activation and its output projection, in some sizes.
        pre_linear: module whose output is the linear branch of a gated MLP; may be absent in some sizes.
        gate: module without which there is no linear branch, where an ungated MLP uses the same names.
        route: see `Attention.route`.
        ln1_post: norm of what attention puts out, if any; then `attn_out` is not used.
        ln2_post: norm of what the MLP puts out, if any; then `mlp_out` is not used.
        view: see `Out.view`; of everything from the second norm on.
    """
    attn_out = attn_out or attn
    rows: dict[str, Site] = {"hook_resid_pre": ResidPre()}
    if len(qkv) == 3:
        rows[""] = Split(ln1, (f"{attn}.{qkv[0]}", f"{attn}.{qkv[1]}", f"{attn}.{qkv[2]}"))
    rows |= {
        "ln1": Norm(ln1),
        "attn": Attention(attn, out=out, qkv=qkv, route=route, norm="ln1_post" if ln1_post else ""),
        **({"attn.ln": Norm(attn_norm, optional=True)} if attn_norm else {}),
        **_contribution("attn", attn_out, ln1_post, "ln1_post"),
        "hook_resid_mid": ResidMid(ln2, view=view),
        "hook_mlp_in": MlpIn(),
        "ln2": Norm(ln2, view=view),
        "mlp.hook_pre": Out(pre, view=view) if isinstance(pre, str) else pre,
    }
    if isinstance(pre_linear, Branch):
        rows["mlp.hook_pre_linear"] = pre_linear
    elif pre_linear:
        rows["mlp.hook_pre_linear"] = Out(pre_linear, optional=True, needs=gate)
    if mlp_norm:
        rows |= {"mlp.hook_mid": In(mlp_norm, optional=True), "mlp.ln": Norm(mlp_norm, optional=True)}
    return rows | {
        "mlp.hook_post": In(post, view=view),
        **_contribution("mlp", mlp_out, ln2_post, "ln2_post", view),
        "hook_resid_post": ResidPost(),
    }


def _contribution(part: str, out: str | Scaled | Out, norm: str, key: str, view: str = "") -> dict[str, Site]:
    """The row of what attention or the MLP adds to the stream; with a norm after it, the norm's."""
    if norm:
        return {key: Norm(norm, also=f"hook_{part}_out")}
    return {f"hook_{part}_out": Out(out, view=view) if isinstance(out, str) else out}


def post_ln(
    *,
    attn: str = "attention.self",
    dense: str = "attention.output.dense",
    norm1: str = "attention.output.LayerNorm",
    cross: str = "",
    cross_dense: str = "crossattention.output.dense",
    cross_norm: str = "crossattention.output.LayerNorm",
    pre: str = "intermediate.dense",
    post: str = "output.dense",
    norm2: str = "output.LayerNorm",
    qkv: tuple[str, ...] = ("query", "key", "value"),
    route: str = "interface",
) -> dict[str, Site]:
    """The rows of a post-LN block: `y = ln1(x + attn(x))`, then `ln2(y + mlp(y))`; the defaults are BERT's names.

    TransformerLens' names (`BertBlock`; with cross-attention `T5Block`): `hook_resid_mid` and `hook_resid_post` are the
    sums before the norms, `hook_normalized_resid_post` is what the next layer reads. With cross-attention `ln1`, `ln2`,
    `ln3` are the norms after attention, cross-attention and MLP; a layer that has none lacks `ln2`. The points of a
    per-head input (`hook_attn_in`, ...) do not exist: no norm stands between the stream and the projections.

    Args:
        attn: module that calls the attention function.
        dense: its output projection, relative to the layer.
        norm1: the norm after the first sum.
        cross: module that calls the cross-attention function; none when empty. A layer may lack it.
        cross_dense: its output projection, relative to the layer.
        cross_norm: the norm after the second sum.
        pre: module whose output is the MLP's pre-activation.
        post: the MLP's down projection: its input is the hidden activation, its output is added to the stream.
        norm2: the norm after the last sum.
        qkv: projections, relative to `attn`.
        route: see `Attention.route`.
    """
    rows: dict[str, Site] = {
        "hook_resid_pre": ResidPre(),
        "attn": Attention(attn, out=f"/{dense}", qkv=qkv, route=route),
        "hook_attn_out": Out(dense),
        "hook_resid_mid": In(norm1),
        "ln1": Norm(norm1),
    }
    if cross:
        rows |= {
            "cross_attn": Attention(
                cross, out=f"/{cross_dense}", qkv=qkv, route=route, optional=True, total="hook_cross_attn_out"
            ),
            "hook_cross_attn_out": Out(cross_dense, optional=True),
            "hook_resid_mid_cross": In(cross_norm, optional=True),
            "ln2": Norm(cross_norm, optional=True),
        }
    return rows | {
        "mlp.hook_pre": Out(pre),
        "mlp.hook_post": In(post),
        "hook_mlp_out": Out(post),
        "hook_resid_post": In(norm2),
        "ln3" if cross else "ln2": Norm(norm2),
        "hook_normalized_resid_post": Out(""),
    }
