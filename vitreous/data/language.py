"""What can truthfully be said about a scene: relations, captions, questions and answers."""

from collections import Counter
from typing import NamedTuple

from vitreous.data.scenes import ATTRIBUTES, Dice, Scene, SceneObject

NUMBERS = ("zero", "one", "two", "three", "four")
MARGIN = 0.08
"""Centres must differ by this fraction of the image before one object is 'left of' or 'above' another."""

QUESTION_KINDS = ("colour-of", "shape-of", "count", "exists", "where", "relation", "compare")


class Relation(NamedTuple):
    """`subject` stands in relation `name` to `object` (indices into `scene.objects`)."""

    subject: int
    name: str
    object: int


class Question(NamedTuple):
    """A question with one right answer, and the objects that decide it."""

    kind: str
    text: str
    answer: str
    about: tuple[int, ...]


def relations(scene: Scene) -> tuple[Relation, ...]:
    """All of: left of, right of, above, below, in front of, behind, larger than, smaller than.

    Places are those of the centres and must differ by `MARGIN`; 'in front of' needs visible occlusion.
    """
    found = []
    for i, a in enumerate(scene.objects):
        for j, b in enumerate(scene.objects):
            if i == j:
                continue
            if b.x - a.x >= MARGIN:
                found += [Relation(i, "left of", j), Relation(j, "right of", i)]
            if b.y - a.y >= MARGIN:
                found += [Relation(i, "above", j), Relation(j, "below", i)]
            if a.size == "large" and b.size == "small":
                found += [Relation(i, "larger than", j), Relation(j, "smaller than", i)]
            reach = (a.radius + b.radius) * 0.9
            near = (a.x - b.x) ** 2 + (a.y - b.y) ** 2 < reach * reach
            if i > j and near and scene.occlusion[j] > 0.05:
                found += [Relation(i, "in front of", j), Relation(j, "behind", i)]
    return tuple(found)


def phrase(o: SceneObject, *attributes: str) -> str:
    """A noun phrase: `phrase(o, "size", "colour")` is 'large red ring'; the shape always comes last.

    >>> phrase(SceneObject("ring", "red", "dotted", "large", 0.5, 0.5, 0.2), "size", "colour")
    'large red ring'
    """
    return " ".join([getattr(o, a) for a in ("size", "texture", "colour") if a in attributes] + [o.shape])


def listing(parts: list[str]) -> str:
    """
    >>> listing(["a ring", "a star", "a cross"])
    'a ring , a star and a cross'
    """
    return parts[0] if len(parts) == 1 else " , ".join(parts[:-1]) + " and " + parts[-1]


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def place(o: SceneObject) -> str | None:
    """Quadrant of the centre, or None when it lies within `MARGIN` / 2 of a middle line."""
    if abs(o.x - 0.5) < MARGIN / 2 or abs(o.y - 0.5) < MARGIN / 2:
        return None
    return ("top" if o.y < 0.5 else "bottom") + " " + ("left" if o.x < 0.5 else "right")


def captions(scene: Scene) -> tuple[str, ...]:
    """At least four true captions, worded differently; the first names everything."""
    dice = Dice(scene.seed, scene.index, 11)
    things = [scene.objects[i] for i in dice.shuffled(range(len(scene.objects)))]
    n, on = len(things), f"{_a(scene.background)} background"
    every = ("size", "texture", "colour")
    if not things:
        return (f"an empty scene on {on}", f"nothing on {on}", f"{on} without objects", f"only {on}")
    said = [
        f"{listing([_a(phrase(o, *every)) for o in things])} on {on}",
        f"a picture of {listing([_a(phrase(o, 'colour')) for o in things])}",
        f"there is {listing([_a(phrase(o, 'texture', 'colour')) for o in things])} on {on}",
        f"{NUMBERS[n]} object{'s' * (n > 1)} on {on} : {listing([_a(phrase(o, 'size', 'colour')) for o in things])}",
    ]
    placed = [(o, place(o)) for o in things]
    said += [f"{_a(phrase(o, 'colour'))} in the {where} on {on}" for o, where in placed[:2] if where]
    side = [r for r in relations(scene) if r.name in ("left of", "above", "in front of")]
    if side:
        r = dice.pick(side)
        one, other = (_a(phrase(scene.objects[k], "texture", "colour")) for k in (r.subject, r.object))
        said.append(f"{one} {r.name} {other}")
    return tuple(said)


def _unique(scene: Scene, attribute: str) -> list[int]:
    counts = Counter(getattr(o, attribute) for o in scene.objects)
    return [i for i, o in enumerate(scene.objects) if counts[getattr(o, attribute)] == 1]


def questions(scene: Scene) -> tuple[Question, ...]:
    """Every kind of `QUESTION_KINDS` that the scene can answer without ambiguity, in a fixed order.

    'exists' comes in pairs (one yes, one no); in the 'no' question exactly one attribute is wrong where possible.
    """
    dice = Dice(scene.seed, scene.index, 13)
    asked: list[Question] = []
    by_shape, by_colour = _unique(scene, "shape"), _unique(scene, "colour")
    for i in by_shape:
        o = scene.objects[i]
        asked.append(Question("colour-of", f"what colour is the {o.shape} ?", o.colour, (i,)))
        if place(o):
            asked.append(Question("where", f"where is the {o.shape} ?", f"{place(o)}", (i,)))
    for i in by_colour:
        o = scene.objects[i]
        asked.append(Question("shape-of", f"what shape is the {o.colour} object ?", o.shape, (i,)))
    asked += _counting(scene, dice) + _existence(scene, dice) + _comparisons(scene, dice, by_shape)
    return tuple(asked)


def _counting(scene: Scene, dice: Dice) -> list[Question]:
    everything = tuple(range(len(scene.objects)))
    colour = dice.pick([o.colour for o in scene.objects] or ATTRIBUTES["colour"])
    of_colour = tuple(i for i, o in enumerate(scene.objects) if o.colour == colour)
    return [
        Question("count", "how many objects are there ?", NUMBERS[len(everything)], everything),
        Question("count", f"how many {colour} objects are there ?", NUMBERS[len(of_colour)], of_colour),
    ]


def _existence(scene: Scene, dice: Dice) -> list[Question]:
    present = {(o.colour, o.shape) for o in scene.objects}
    asked = []
    if scene.objects:
        i = dice.below(len(scene.objects))
        o = scene.objects[i]
        asked.append(Question("exists", f"is there {_a(phrase(o, 'colour'))} ?", "yes", (i,)))
        near = [(c, o.shape) for c in ATTRIBUTES["colour"]] + [(o.colour, s) for s in ATTRIBUTES["shape"]]
    else:
        near = [(c, s) for c in ATTRIBUTES["colour"] for s in ATTRIBUTES["shape"]]
    colour, shape = dice.pick([pair for pair in near if pair not in present])
    asked.append(Question("exists", f"is there {_a(f'{colour} {shape}')} ?", "no", ()))
    return asked


def _comparisons(scene: Scene, dice: Dice, by_shape: list[int]) -> list[Question]:
    if len(by_shape) < 2:
        return []
    i, j = dice.shuffled(by_shape)[:2]
    a, b = scene.objects[i], scene.objects[j]
    asked = []
    holding = {r.name for r in relations(scene) if (r.subject, r.object) == (i, j)}
    for name, opposite in (("left of", "right of"), ("above", "below")):
        if {name, opposite} & holding:
            answer = "yes" if name in holding else "no"
            asked.append(Question("relation", f"is the {a.shape} {name} the {b.shape} ?", answer, (i, j)))
    same = "yes" if a.colour == b.colour else "no"
    asked.append(Question("compare", f"are the {a.shape} and the {b.shape} the same colour ?", same, (i, j)))
    if a.size != b.size:
        larger = a.shape if a.size == "large" else b.shape
        asked.append(Question("compare", f"which is larger , the {a.shape} or the {b.shape} ?", larger, (i, j)))
    return asked
