"""Places: the layers of a tower and of its further stacks, each with its name and the rows of its hook points."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from vitreous.hooked.family import Entry, Family, Stack, Sums, Table
from vitreous.hooked.wiring import find, find_layers


@dataclass(frozen=True)
class Place:
    """One layer.

    Attributes:
        prefix: what the names of its points begin with, e.g. `blocks.3.` or `decoder.blocks.0.`
        native: the native layer.
        block: its rows.
        sums: what adds up in it.
        follows: whether it starts with what the place before it ends with.
        between: local names of what is added to the stream after it, before the next place starts; a layer may lack
            the points.
    """

    prefix: str
    native: nn.Module
    block: Table
    sums: Sums
    follows: bool
    between: tuple[str, ...] = ()

    @property
    def leaves(self) -> str:
        """Name of the point at the layer's output."""
        return self.prefix + list(self.block)[-1]


@dataclass(frozen=True)
class Stage:
    """Layers of one width, and the module that the rows at their end are relative to; of a stack its record, too.

    `ends` says whether there are rows at its end: none after the last stage, where merging is not the stages' own.
    """

    prefix: str
    native: nn.Module
    places: tuple[Place, ...]
    stack: Stack | None = None
    ends: bool = True


def _rows(layer: nn.Module, family: Family) -> Table:
    return family.variants.get(type(layer).__name__, family.block)


def main_stages(native: nn.Module, tower: nn.Module, family: Family) -> list[Stage]:
    """The tower's own layers, numbered through all stages in execution order."""
    stages: list[Stage] = []
    for holder, layers in find_layers(native, tower, family.layers):
        start, between = sum(len(stage.places) for stage in stages), tuple(family.between)
        follows = [i > 0 or (bool(start) and not family.stage) for i in range(len(layers))]
        places = tuple(
            Place(f"blocks.{start + i}.", layer, _rows(layer, family), family.sums, follows[i], between)
            for i, layer in enumerate(layers)
        )
        merge = find(native, tower, f"{family.merges}.{len(stages) + 1}") if family.merges else holder
        stages.append(Stage(f"stages.{len(stages)}.", merge or holder, places, ends=merge is not None))
    return stages


def further_stages(native: nn.Module, entry: Entry) -> Iterator[Stage]:
    """The stacks that run before or after the tower's own layers."""
    for stack in entry.stacks:
        base = find(native, native, stack.base)
        if base is None:
            continue
        for _, layers in find_layers(native, base, stack.layers):
            single = len(layers) == 1 and find(native, base, stack.layers) is layers[0]
            names = [f"{stack.name}."] if single else [f"{stack.name}.blocks.{i}." for i in range(len(layers))]
            places = tuple(
                Place(name, layer, stack.block, stack.sums, i > 0)
                for i, (name, layer) in enumerate(zip(names, layers, strict=True))
            )
            yield Stage(f"{stack.name}.", base, places, stack)
