"""One tower (vision or text) of a native model, with its hook points built and wired from a family's tables."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import attach
from vitreous.hooked import site as sites
from vitreous.hooked.attention import Switch
from vitreous.hooked.block import AttentionGroup, Group, NormView
from vitreous.hooked.family import Entry, Family, Table, class_of
from vitreous.hooked.keeper import BY_HEAD
from vitreous.hooked.model import HookedModel
from vitreous.hooked.place import Place, Stage, further_stages, main_stages
from vitreous.hooked.point import Point
from vitreous.hooked.stream import Contribution, Stop, Stream, scaled, stop_at, viewed
from vitreous.hooked.view import VIEWS, Call, View
from vitreous.hooked.weight import weights
from vitreous.hooked.wiring import Wire, find

STREAM = sites.ResidPre | sites.ResidMid | sites.MlpIn | sites.ResidPost | sites.Scaled | sites.Viewed


@dataclass(frozen=True)
class Config:
    """Sizes of a tower, under TransformerLens' names.

    Attributes:
        n_layers: number of blocks.
        n_heads: number of query heads.
        d_model: width of the residual stream.
        d_head: width of a head.
        d_mlp: hidden width of the MLP.
        n_ctx: positions in a sequence.
        image_size: height (= width) of the input in pixels, or (height, width) if they differ; 0 for text.
        patch_size: as image_size, of a patch.
        normalization_type: "LN" or "RMS".
        family: name of the family.
        n_key_value_heads: number of key and value heads; None when it is the same.
        d_vocab: number of logits; 0 without an unembedding.
        logit_softcap: `c` where logits are `c tanh(logits / c)`, else None.
        n_frames: frames of a clip; 0 for images and text.
        stages: number of blocks of each stage. Where there are several, d_model, n_heads, d_mlp, n_ctx and patch_size
            are those of the first one.
    """

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    n_ctx: int
    image_size: int | tuple[int, int]
    patch_size: int | tuple[int, int]
    normalization_type: str
    family: str
    attn_only: bool = False
    n_key_value_heads: int | None = None
    d_vocab: int = 0
    logit_softcap: float | None = None
    n_frames: int = 0
    stages: tuple[int, ...] = ()


class HookedTower(HookedModel):
    """The points of one tower. `HookedViT` and `HookedTextEncoder` add what goes in.

    Args:
        native: the native model; it is wrapped, never changed.
        family: where its points live.
        processor: image processor or tokenizer.
        name: what it was loaded as.
        root: the model that `native` is a part of, where site paths with a leading `/` start; itself when None.
        entry: how the native class uses the tower; the family's row for the class when None.
    """

    def __init__(
        self,
        native: nn.Module,
        family: Family,
        processor: Any = None,
        name: str = "",
        root: nn.Module | None = None,
        entry: Entry | None = None,
    ) -> None:
        super().__init__()
        self.native = native
        self.__dict__["_root"] = native if root is None else root  # not registered: only its part is ours
        self.family = family
        self.entry: Entry = entry or family.classes[class_of(native)]
        self.processor = processor
        self.name = name or type(native).__name__
        tower = find(native, native, self.entry.tower)
        stages = [] if tower is None or not family.layers else main_stages(native, tower, family)
        if tower is None or (family.layers and not stages):
            raise UnsupportedError(
                f"{type(native).__name__} has no {self.entry.tower or 'tower'}.{family.layers}; family {family.name!r} "
                "was written for another version of transformers"
            )
        _demand(tower, family)
        self.__dict__["_parts"] = (tower, [place.native for stage in stages for place in stage.places])
        self._stages, self._stacks = stages, list(further_stages(self.root, self.entry))
        varlen = any(getattr(site, "route", "") == "varlen" for site in family.block.values())
        self.switch = Switch([tower, *(stack.native for stack in self._stacks)], varlen)
        self.wires: list[Wire] = []
        self.norms: dict[str, NormView] = {}
        self._build()
        self.cfg = self._config()
        self.training = native.training

    @property
    def root(self) -> nn.Module:
        """The model that `native` is a part of, or itself."""
        return self.__dict__["_root"]

    @property
    def tower(self) -> nn.Module:
        """The native tower, e.g. `native.vision_model`."""
        return self.__dict__["_parts"][0]

    @property
    def layers(self) -> list[nn.Module]:
        """The native layers."""
        return self.__dict__["_parts"][1]

    @property
    def places(self) -> list[Place]:
        """Every layer of the tower and of its further stacks, in execution order."""
        return [place for part in self.parts for place in part.places]

    @property
    def parts(self) -> list[Stage]:
        """The tower's stages (mostly one) and the further stacks, in execution order."""
        first = [part for part in self._stacks if part.stack.first]  # type: ignore[union-attr]
        return [*first, *self._stages, *(part for part in self._stacks if part not in first)]

    @property
    def config(self) -> Any:
        """The tower's native configuration, or the tower itself where its sizes are attributes."""
        config = getattr(self.tower, "config", self.tower)
        return getattr(config, "text_config", config) if self.family.kind == "language" else config

    def towers(self) -> dict[str, HookedModel]:
        """Itself."""
        return {"": self}

    @property
    def inert(self) -> tuple[str, ...]:
        """Globs of points that cannot change the output."""
        last = f"blocks.{len(self.layers) - 1}."
        return tuple(glob.replace("blocks.-1.", last) for glob in (*self.family.inert, *self.entry.inert))

    def norm(self, key: str) -> NormView:
        """A native norm by its canonical name, e.g. `blocks.3.ln1` or `ln_final`."""
        return self.norms[key]

    # --- building ------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.depth: dict[str, int] = {}
        self._stacked(True, 0)
        self._table("", self.tower, self.family.embed, 0)
        self.blocks = nn.ModuleList(Group() for _ in self.layers)
        n = 0
        injected: dict[str, dict[str, Point]] = {key: {} for key in self.family.between}
        for stage in self._stages:
            for place in stage.places:
                n += 1
                self._table(place.prefix, place.native, place.block, n)
                for key, site in self.family.between.items():
                    if n <= len(self._root_field(site.layers)):
                        name = f"{place.prefix}{key}"
                        injected[key][name] = self._point(name, site, self.tower, self.tower)
                        self.depth[name] = n + 1
            if stage.ends:
                self._table(stage.prefix, stage.native, self.family.stage, n + (stage is self._stages[-1]))
        self._table("", self.tower, self.family.head, n + 1)
        self._stacked(False, n + 1)
        self._table("", self.tower, self.entry.head, n + 1)
        for key, site in self.family.between.items():
            self.wires.append(Wire(injected[key], partial(attach.attach_injected, self.tower, injected[key], site)))
        for name, point in self.hook_dict.items():
            point.name = name

    def _stacked(self, first: bool, depth: int) -> None:
        """The points of the stacks that run before the tower, or after it."""
        for part in self._stacks:
            stack = part.stack
            if stack is None or stack.first != first:
                continue
            self._table(part.prefix, part.native, stack.embed, depth)
            for place in part.places:
                self._table(place.prefix, place.native, place.block, depth)
            self._table(part.prefix, part.native, stack.head, depth)

    def _table(self, prefix: str, base: nn.Module, table: Table, depth: int) -> None:
        """Makes the points of one table and the wires that carry them.

        Args:
            prefix: what the names begin with.
            base: the module that the paths are relative to.
            table: the rows.
            depth: number of the tower's layers that have started when the points fire.
        """
        stream: dict[str, Point] = {}
        added: dict[str, Contribution] = {}
        middles: dict[str, tuple[nn.Module, View]] = {}
        known = set(self.hook_dict)
        for key, site in table.items():
            if isinstance(site, sites.Split):
                self._split(prefix, base, key, site)
                continue
            if isinstance(site, sites.Branch):
                self._branch(prefix, base, key, site)
                continue
            path = getattr(site, "path", getattr(site, "norm", ""))
            module = find(self.root, base, path, getattr(site, "identity", False))
            if module is None:
                if getattr(site, "optional", False):
                    continue
                raise UnsupportedError(f"{type(self.native).__name__} has no module {path!r} for {prefix}{key}")
            if isinstance(site, sites.Parameter | sites.Product) and getattr(module, site.name, None) is None:
                continue  # sizes without learnt positions, or without a projection
            if isinstance(site, sites.Out) and site.needs and find(self.root, base, site.needs) is None:
                continue
            points = {n: self._point(prefix + n, site, module, base) for n in sites.names(key, site)}
            if isinstance(site, STREAM):
                stream |= points
                if isinstance(site, sites.ResidMid):
                    middles[key] = (module, VIEWS[site.view])
                elif isinstance(site, sites.Scaled):
                    added[key] = (module, scaled(site))
                elif isinstance(site, sites.Viewed):
                    added[key] = (module, viewed(VIEWS[site.view]))
            else:
                self.wires.append(Wire(points, self._attach(site, module, base, points)))
                if isinstance(site, sites.Norm):
                    self.norms[prefix + key] = NormView(module)
        if stream:
            entry = table.get("hook_resid_pre")
            copy, outer = getattr(entry, "copy", False), VIEWS[getattr(entry, "view", "")]
            self.wires.append(Wire(stream, Stream(base, stream, middles, added, copy, outer).attach))
        self.depth |= dict.fromkeys(self.hook_dict.keys() - known, depth)

    def _root_field(self, path: str) -> Any:
        """A field of the whole model's configuration; empty where there is none (the tower is the whole model)."""
        value: Any = getattr(self.root, "config", None)
        for part in path.split("."):
            value = getattr(value, part, ())
        return value

    def _attach(self, site: sites.Site, module: nn.Module, base: nn.Module, points: dict[str, Point]) -> Any:
        match site:
            case sites.Out():
                return partial(attach.attach_out, module, points, site, Call(base, site.nth, site.view))
            case sites.In():
                return partial(attach.attach_in, module, points, Call(base, 0, site.view), site.copy)
            case sites.Norm():
                attach.norm_kind(module)
                since = find(self.root, base, site.since)
                assert since is not None
                return partial(attach.attach_norm, module, points, Call(since, site.nth, site.view))
            case sites.Attention():
                out = find(base, module, site.out) if site.out else None
                found = [find(base, module, path) for path in site.qkv]
                return partial(
                    attach.attach_attention, module, out, points, site.route, self.switch, found, VIEWS[site.view]
                )
            case sites.Parameter():
                options = (site.name, site.method, site.always, site.within)
                return partial(attach.attach_parameter, module, points, *options)
            case sites.Product():
                return partial(attach.attach_product, module, points, site.name, site.within)
        raise AssertionError(site)

    def _branch(self, prefix: str, base: nn.Module, key: str, site: sites.Branch) -> None:
        own, packed, down = (find(self.root, base, path) for path in (site.own, site.packed, site.down))
        module = packed if own is None else own
        if module is None or down is None:
            raise UnsupportedError(
                f"{type(self.native).__name__} has no {site.own!r} or {site.packed!r} for {prefix}{key}"
            )
        widths: Any = (module.out_features, down.in_features)
        double = own is None and widths[0] == 2 * widths[1]
        if site.linear and own is None and not double:
            return  # not a gated MLP
        points = {key: self._point(prefix + key, site, module, base)}
        if not double:
            self.wires.append(Wire(points, self._attach(sites.Out(""), module, base, points)))
            return
        mlp = find(self.root, base, site.packed.rpartition(".")[0])
        half = int(site.linear != bool(getattr(mlp, "gate_last", False)))
        self.wires.append(Wire(points, partial(attach.attach_half, module, points, half)))

    def _split(self, prefix: str, layer: nn.Module, key: str, site: sites.Split) -> None:
        norm = find(self.root, layer, site.norm)
        found = [find(self.root, layer, path) for path in site.qkv]
        attn = find(self.root, layer, site.qkv[0].rpartition(".")[0])
        projections = [p for p in found if isinstance(p, nn.Linear)]
        whole = all(p.weight.is_floating_point() for p in projections)
        if norm is None or attn is None or len({id(p) for p in projections}) != len(found) or not whole:
            return  # fused, quantised or replaced projections: these opt-in points do not exist
        d_head = projections[0].out_features // attach.n_heads(attn)
        heads = {p.out_features // d_head for p in projections}
        names = sites.names(key, site)[len(heads) > 1 :]  # with grouped queries no one copy per head serves q, k and v
        points = {n: self._point(prefix + n, site, norm, layer) for n in names}
        self.wires.append(Wire(points, partial(attach.attach_split, norm, projections, d_head, points)))

    def _point(self, name: str, site: sites.Site, module: nn.Module, base: nn.Module) -> Point:
        """Makes a point and the groups above it."""
        holder: nn.Module = self
        *groups, last = name.split(".")
        for i, part in enumerate(groups):
            if not hasattr(holder, part):
                attention = isinstance(site, sites.Attention) and i == len(groups) - 1
                scale = partial(self._scale, ".".join(groups))
                holder.add_module(part, AttentionGroup(module, base, site, scale) if attention else Group())  # type: ignore
            holder = getattr(holder, part)
        point = Point()
        point.hooked = self.hooked
        point.packed = self.family.packed
        if (self.family.grid or self.family.packed) and last not in ("hook_attn_scores", "hook_pattern"):
            point.axes = 4 if any(name.endswith(end) for end in BY_HEAD) else 3
        holder.add_module(last, point)
        self.hook_dict[name] = point
        self.mod_dict[name] = point
        return point

    def _scale(self, attn: str) -> Tensor | None:
        """LayerScale of an attention layer, by the canonical name of the layer's attention group."""
        place = next((p for p in self.places if attn.startswith(p.prefix)), None)
        if place is None:
            return None
        layer, site = place.native, place.block.get(attn.removeprefix(place.prefix))
        match place.block.get(getattr(site, "total", "")):
            case sites.Scaled(scale=name, tanh=gate):
                (scale,) = weights(layer, name)
                scale = scale.tanh() if gate and isinstance(scale, Tensor) else scale
                return scale if isinstance(scale, Tensor) else None  # BEiT without LayerScale keeps a plain 1.0
            case sites.Out(scale=path) if path:
                return attribute(self.root, layer, path)
            case sites.Out(path=path):
                module = find(self.root, layer, path)
                found = () if module is None else weights(module, "lambda1", "gamma")
                return next((p for p in found if isinstance(p, nn.Parameter)), None)
        return None

    def _config(self) -> Config:
        block = self._stages[0].places[0].block if self.layers else {}
        attn = next((s for s in block.values() if isinstance(s, sites.Attention)), None)
        heads = d_head = d_mlp = 0
        d_model = self._size("d_model", "hidden_size", "embed_dim", "d_model") if self.layers else 0
        if attn is not None:
            attention = find(self.root, self.layers[0], attn.path)
            assert attention is not None
            heads = attach.n_heads(attention)
            d_head = getattr(find(self.layers[0], attention, attn.out), "in_features", d_model) // heads
            down = find(self.root, self.layers[0], getattr(block.get("mlp.hook_post"), "path", ""))
            d_mlp = getattr(down, "in_features", 0)
        kinds = {norm.centred for norm in self.norms.values()}
        image, patch = self._image_sizes()
        return Config(
            n_layers=len(self.layers),
            n_heads=heads,
            d_model=d_model,
            d_head=d_head,
            d_mlp=d_mlp,
            n_ctx=self._n_ctx(),
            image_size=image[0] if image[0] == image[1] else image,
            patch_size=patch[0] if patch[0] == patch[1] else patch,
            normalization_type="RMS" if kinds == {False} else "LN",
            family=self.family.name,
            n_frames=self._n_frames(),
            stages=tuple(len(stage.places) for stage in self._stages),
            **self._more_sizes(self.config),
        )

    def _more_sizes(self, config: Any) -> dict[str, Any]:
        """Further fields of `Config`."""
        return {}

    def _size(self, ours: str, *usual: str) -> Any:
        """A size from the native configuration.

        Raises:
            UnsupportedError: if the configuration has none of the names.
        """
        names = (self.family.sizes[ours],) if ours in self.family.sizes else usual
        for name in names:
            value = attribute(self.root, self.config, name)
            if value is not None:
                return value
        raise UnsupportedError(f"{type(self.config).__name__} has none of {names}, needed for {ours}")

    def _image_sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (0, 0), (0, 0)

    def _n_frames(self) -> int:
        return 0

    def _n_ctx(self) -> int:
        raise NotImplementedError

    # --- running -------------------------------------------------------------------------------------------------

    def native_call(self) -> Callable[..., Any]:
        """What runs the tower."""
        return getattr(self.native, self.entry.call) if self.entry.call else self.native

    def _inputs(self, inputs: Any, **kwargs: Any) -> dict[str, Any]:
        """The native call's keyword arguments."""
        raise NotImplementedError

    def forward(self, inputs: Any, stop_at_layer: int | None = None, **kwargs: Any) -> Any:
        """Runs the native model.

        Args:
            inputs: pixels or text.
            stop_at_layer: run blocks 0..k-1 only and return the residual stream there; negative counts from the end.
            **kwargs: passed to the native forward.

        Raises:
            HookNotFiredError: if a hooked point was not reached.
        """
        call = self.native_call()
        given = self._inputs(inputs, **kwargs)
        if stop_at_layer is None:
            fired = self._fired()
            out = call(**given)
            self._demand_fired(fired)
            return out
        stop = self._stop_index(stop_at_layer)
        fired = {name: n for name, n in self._fired().items() if self._before(name, stop)}
        undo = stop_at(self.layers, stop)
        try:
            call(**given)
        except Stop as stopped:
            self._demand_fired(fired)
            resid = stopped.resid.flatten(1, 2) if self.family.grid else stopped.resid
            return resid.unsqueeze(0) if self.family.packed else resid
        finally:
            undo()
        raise AssertionError("the native forward never reached the layer to stop at")

    def _stop_index(self, layer: int) -> int:
        n = len(self.layers)
        if not -n <= layer <= n:
            raise BadInputError(f"stop_at_layer={layer}, but {self.name} has {n} layers (0 to {n}, or negative)")
        return layer + n if layer < 0 else layer

    def _before(self, name: str, stop: int) -> bool:
        """Whether a point fires when the forward stops before block `stop`."""
        return self.depth[name] <= stop

    # --- copies --------------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> "HookedTower":
        """A wrapper around a copy of the native model, with the same hooks on its own points."""
        for wire in self.wires:
            wire.detach()
        try:
            root = copy.deepcopy(self.root, memo)
            native = copy.deepcopy(self.native, memo)  # the part of the root's copy
        finally:
            for wire in self.wires:
                wire.sync()
        new = type(self)(native, self.family, self.processor, self.name or "", root, self.entry)
        memo[id(self)] = new
        for name, point in self.hook_dict.items():
            new.hook_dict[name].adopt(point)
        return new


def _demand(tower: nn.Module, family: Family) -> None:
    """Raises for a variant of the architecture that the family's rows do not describe.

    Raises:
        UnsupportedError: naming the field of the configuration.
    """
    for name, wanted in family.demands.items():
        found = getattr(getattr(tower, "config", None), name, wanted)
        if found != wanted:
            raise UnsupportedError(
                f"{type(tower).__name__} with {name}={found!r} is another architecture than family {family.name!r}, "
                f"which is written for {name}={wanted!r}"
            )


def attribute(root: Any, base: Any, path: str) -> Any:
    """What a dotted path leads to (a leading `/` starts at the root, a number is an item); None if there is nothing."""
    start: Any
    start, dotted = (root, path[1:]) if path.startswith("/") else (base, path)
    for part in dotted.split("."):
        start = start[int(part)] if part.isdigit() else getattr(start, part, None)
    return start


def two(size: Any) -> tuple[int, int]:
    """A size as (height, width)."""
    if isinstance(size, int):
        return size, size
    height, width = tuple(size)[-2:]
    return int(height), int(width)
