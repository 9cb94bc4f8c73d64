"""Procedurally drawn scenes with exact ground truth, and edits that change one thing and nothing else.

>>> scene = Scenes(10, seed=3)[4]
>>> scene.captions[0]  # doctest: +SKIP
'a large striped red ring and a small solid blue star on a navy background'
>>> clean, corrupt = scene, scene.edit(0, colour="green")
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from vitreous.data import drawing
from vitreous.data.drawing import BACKGROUNDS, COLOURS, SHAPES, TEXTURES
from vitreous.data.item import Item
from vitreous.errors import BadInputError, unknown

if TYPE_CHECKING:
    import datasets

    from vitreous.data.language import Question, Relation

SIZES: dict[str, tuple[float, float]] = {"small": (0.140, 0.165), "large": (0.225, 0.250)}
"""Radius range of each size, in fractions of the image width; the ranges do not touch."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": tuple(SHAPES),
    "texture": tuple(TEXTURES),
    "size": tuple(SIZES),
    "background": tuple(BACKGROUNDS),
}

_MASK = (1 << 64) - 1


class Dice:
    """SplitMix64: a tiny exact integer generator, the same on every platform and version.

    Source: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """

    def __init__(self, *seeds: int):
        self.state = 0
        for seed in seeds:
            self.state = (self.raw() ^ (seed & _MASK)) & _MASK

    def raw(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return (self.raw() * n) >> 64

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def between(self, low: float, high: float) -> float:
        """A float in [low, high), in steps of 1/4096 of the range."""
        return low + (high - low) * (self.below(4096) / 4096.0)

    def shuffled(self, items: Sequence[Any]) -> list[Any]:
        pool = list(items)
        for i in range(len(pool) - 1, 0, -1):
            j = self.below(i + 1)
            pool[i], pool[j] = pool[j], pool[i]
        return pool


@dataclass(frozen=True)
class SceneObject:
    """One object: its attributes, and its place in fractions of the image (x right, y down)."""

    shape: str
    colour: str
    texture: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A picture and everything that is true of it. Objects are drawn in order: later ones are in front."""

    seed: int
    index: int
    pixels_wide: int
    background: str
    objects: tuple[SceneObject, ...]
    light: tuple[float, float, float]
    noise: int
    history: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Unique and stable: `scene-SEED-INDEX`, with the edits behind it."""
        return "+".join((f"scene-{self.seed}-{self.index}", *self.history))

    @cached_property
    def _drawn(self) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "n h w"], tuple[float, ...]]:
        size = self.pixels_wide
        canvas = drawing.backdrop(self.background, size)
        full = np.zeros((len(self.objects), size, size), bool)
        for i, o in enumerate(self.objects):
            window, cover = drawing.coverage(o.shape, o.x, o.y, o.radius, size)
            surface = drawing.paint(o.colour, o.texture, window, o.x, o.y, size)
            canvas[window] += cover[..., None] * (surface - canvas[window])
            full[i][window] = cover >= 0.5
        visible, taken, hidden = full.copy(), np.zeros((size, size), bool), [0.0] * len(full)
        for i in reversed(range(len(full))):
            visible[i] &= ~taken
            taken |= full[i]
            area = full[i].sum()
            hidden[i] = 1.0 - float(visible[i].sum() / area) if area else 0.0
        key = Dice(self.seed, self.index, 7).raw()
        return drawing.illuminate(canvas, self.light, self.noise, key), visible, tuple(hidden)

    @property
    def pixels(self) -> UInt8[np.ndarray, "h w 3"]:
        """RGB bytes."""
        return self._drawn[0]

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels)

    @property
    def masks(self) -> Bool[np.ndarray, "n h w"]:
        """Visible pixels of each object (at least half covered, and not behind a later object)."""
        return self._drawn[1]

    @property
    def occlusion(self) -> tuple[float, ...]:
        """Hidden fraction of each object, 0 (all visible) to 1."""
        return self._drawn[2]

    @cached_property
    def boxes(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        """(x0, y0, x1, y1) of each object's visible pixels, x1 and y1 exclusive; None if nothing is visible."""
        found: list[tuple[int, int, int, int] | None] = []
        for mask in self.masks:
            rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = (int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1) if len(rows) else None
            found.append(box)
        return tuple(found)

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """Several differently worded true captions; the first is complete (every object with every attribute)."""
        from vitreous.data.language import captions

        return captions(self)

    @cached_property
    def questions(self) -> "tuple[Question, ...]":
        """Questions with unambiguous one-phrase answers; see `vitreous.data.language.questions`."""
        from vitreous.data.language import questions

        return questions(self)

    @cached_property
    def relations(self) -> "tuple[Relation, ...]":
        """Every pairwise relation that clearly holds; see `vitreous.data.language.relations`."""
        from vitreous.data.language import relations

        return relations(self)

    def _object(self, i: int) -> SceneObject:
        if not 0 <= i < len(self.objects):
            raise BadInputError(f"object {i} does not exist: the scene has {len(self.objects)} (0 to n - 1)")
        return self.objects[i]

    def _with(self, changes: dict[int, SceneObject | None], note: str) -> "Scene":
        kept = [changes.get(i, o) for i, o in enumerate(self.objects)]
        return replace(self, objects=tuple(o for o in kept if o is not None), history=(*self.history, note))

    def edit(self, i: int, **attributes: str) -> "Scene":
        """The same scene with other attributes of object `i`; position, light and noise stay.

        Raises:
            UnknownNameError: an attribute or value that does not exist.
        """
        changed = self._object(i)
        for name, value in attributes.items():
            if name == "background" or name not in ATTRIBUTES:
                raise unknown("attribute", name, [a for a in ATTRIBUTES if a != "background"])
            if value not in ATTRIBUTES[name]:
                raise unknown(name, value, ATTRIBUTES[name])
            changed = replace(changed, **{name: value})
            if name == "size" and value != self.objects[i].size:
                changed = replace(changed, radius=sum(SIZES[value]) / 2)
        return self._with({i: changed}, f"edit{i}:" + ",".join(f"{k}={v}" for k, v in sorted(attributes.items())))

    def set_background(self, background: str) -> "Scene":
        """The same scene on another background."""
        if background not in BACKGROUNDS:
            raise unknown("background", background, BACKGROUNDS)
        return replace(self, background=background, history=(*self.history, f"background={background}"))

    def remove(self, i: int) -> "Scene":
        """The same scene without object `i`."""
        self._object(i)
        return self._with({i: None}, f"remove{i}")

    def move(self, i: int, x: float, y: float) -> "Scene":
        """The same scene with object `i` centred at (x, y), in fractions of the image."""
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            raise BadInputError(f"position ({x}, {y}) lies outside the image: both must be in [0, 1]")
        return self._with({i: replace(self._object(i), x=x, y=y)}, f"move{i}:{x:.3f},{y:.3f}")

    def swap(self, i: int, j: int, *attributes: str) -> "Scene":
        """Exchange attributes of two objects; without names, exchange their positions.

        `swap(0, 1, "colour")` gives the classic binding pair: the same words, bound the other way round.
        """
        for name in attributes:
            if name == "background" or name not in ATTRIBUTES:
                raise unknown("attribute", name, [a for a in ATTRIBUTES if a != "background"])
        fields = [f for name in attributes for f in ((name, "radius") if name == "size" else (name,))] or ["x", "y"]
        a, b = self._object(i), self._object(j)
        new_a = replace(a, **{f: getattr(b, f) for f in fields})
        new_b = replace(b, **{f: getattr(a, f) for f in fields})
        return self._with({i: new_a, j: new_b}, f"swap{i},{j}:" + ",".join(attributes or ("place",)))

    def item(self) -> Item:
        """The scene as one image of a data set: labelled by its first object, with the complete caption."""
        return Item(self.image, self.id, self.objects[0].shape if self.objects else None, self.captions[0], "scenes")


@dataclass(frozen=True)
class Scenes(Sequence[Scene]):
    """A data set of scenes, drawn when asked for; scene `i` depends on `(seed, i)` and the ranges alone.

    Args:
        n: number of scenes.
        seed: any integer.
        size: image side in pixels, at least 16.
        n_objects: smallest and largest number of objects, within 1 to 4.
    """

    n: int
    seed: int = 0
    size: int = 64
    n_objects: tuple[int, int] = (1, 4)

    def __post_init__(self) -> None:
        low, high = self.n_objects
        if self.n < 0 or self.size < 16 or not 1 <= low <= high <= 4:
            raise BadInputError(
                f"Scenes(n={self.n}, size={self.size}, n_objects={self.n_objects}): n must be >= 0, size >= 16, "
                "and n_objects a range within 1 to 4"
            )

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(self.n))]
        i = i + self.n if i < 0 else i
        if not 0 <= i < self.n:
            raise IndexError(f"scene {i} of {self.n}")
        return draw(self.seed, i, self.size, self.n_objects)

    def __iter__(self) -> Iterator[Scene]:
        return (self[i] for i in range(self.n))

    def to_datasets(self) -> "datasets.Dataset":
        """The scenes as a Hugging Face data set: image, id, label, caption, captions, questions and objects."""
        import datasets

        features = datasets.Features(
            image=datasets.Image(),
            id=datasets.Value("string"),
            label=datasets.Value("string"),
            caption=datasets.Value("string"),
            captions=datasets.List(datasets.Value("string")),
            background=datasets.Value("string"),
            objects=datasets.List({k: datasets.Value("string") for k in ("shape", "colour", "texture", "size")}),
            boxes=datasets.List(datasets.List(datasets.Value("int32"))),
            questions=datasets.List({k: datasets.Value("string") for k in ("kind", "text", "answer")}),
        )
        return datasets.Dataset.from_list([_row(scene) for scene in self], features=features)


def _row(scene: Scene) -> dict[str, Any]:
    item = scene.item()
    return {
        "image": item.image,
        "id": item.id,
        "label": item.label,
        "caption": item.caption,
        "captions": list(scene.captions),
        "background": scene.background,
        "objects": [{k: getattr(o, k) for k in ("shape", "colour", "texture", "size")} for o in scene.objects],
        "boxes": [list(box) if box else [] for box in scene.boxes],
        "questions": [{"kind": q.kind, "text": q.text, "answer": q.answer} for q in scene.questions],
    }


def draw(seed: int, index: int, size: int = 64, n_objects: tuple[int, int] = (1, 4)) -> Scene:
    """The scene that `(seed, index)` stands for."""
    dice = Dice(seed, index)
    n = n_objects[0] + dice.below(n_objects[1] - n_objects[0] + 1)
    background = dice.pick(ATTRIBUTES["background"])
    light = (dice.between(0.85, 1.15), dice.between(-0.2, 0.2), dice.between(-0.2, 0.2))
    noise = 2 + dice.below(5)
    objects: list[SceneObject] = []
    for _ in range(n):
        # crowded scenes have fewer large objects, or most of them would be hidden
        kind = "large" if dice.below(2 if n <= 2 else 4) == 0 else "small"
        radius = dice.between(*SIZES[kind])
        x, y = _place(dice, radius, objects)
        looks = {name: dice.pick(ATTRIBUTES[name]) for name in ("shape", "colour", "texture")}
        objects.append(SceneObject(size=kind, x=x, y=y, radius=radius, **looks))
    return Scene(seed, index, size, background, tuple(objects), light, noise)


def _place(dice: Dice, radius: float, others: list[SceneObject]) -> tuple[float, float]:
    """A free spot inside the image; the least crowded of 12 tries when none is free (then something is occluded)."""
    best, best_room = (0.5, 0.5), -1.0
    for _ in range(12):
        x, y = dice.between(radius, 1.0 - radius), dice.between(radius, 1.0 - radius)
        room = min((((x - o.x) ** 2 + (y - o.y) ** 2) / (radius + o.radius) ** 2 for o in others), default=4.0)
        if room > best_room:
            best, best_room = (x, y), room
        if room >= 0.8:
            break
    return best


def patch_factors(scene: Scene, rows: int, cols: int, coverage: float = 0.25) -> dict[str, Bool[np.ndarray, "r c"]]:
    """What is true of each patch of a grid: `colour=red`, `shape=ring`, `background=navy`, ...

    A patch has an object's attributes where that object's visible pixels fill at least `coverage` of it, and the
    background's where the background fills at least half.

    Args:
        scene: any scene whose side both `rows` and `cols` divide.
        rows: patches from top to bottom.
        cols: patches from left to right.
        coverage: fraction of the patch in (0, 1].

    Raises:
        BadInputError: the grid does not divide the image.
    """
    size = scene.pixels_wide
    if size % rows or size % cols:
        raise BadInputError(f"a {rows} x {cols} grid does not divide a scene of {size} pixels")
    share = scene.masks.reshape(-1, rows, size // rows, cols, size // cols).mean((2, 4))
    truth = {f"{name}={v}": np.zeros((rows, cols), bool) for name, values in ATTRIBUTES.items() for v in values}
    for cover, o in zip(share, scene.objects, strict=True):
        for name in ("colour", "shape", "texture", "size"):
            truth[f"{name}={getattr(o, name)}"] |= cover >= coverage
    truth[f"background={scene.background}"] |= share.sum(0) <= 0.5
    return truth
