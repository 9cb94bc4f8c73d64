"""Several towers of one native model as one hooked model: prefixes, one forward, copies."""

import copy
from dataclasses import replace
from typing import Any

from torch import nn

from vitreous.hooked.attention import Switch
from vitreous.hooked.model import HookedModel
from vitreous.hooked.tower import HookedTower


class HookedTowers(HookedModel):
    """Towers that share their hook points with the whole: `vision.blocks.0.hook_resid_post` is the vision tower's own.

    Args:
        native: the native model that the towers are parts of.
        towers: attribute name -> tower; in execution order.
        name: shown in messages.
    """

    def __init__(self, native: nn.Module, towers: dict[str, HookedTower], name: str = "") -> None:
        super().__init__()
        self.native = native
        self.name = name or type(native).__name__
        self.__dict__["_prefixes"] = tuple(towers)
        for attribute, tower in towers.items():
            self.add_module(attribute, tower)
        self.hook_dict = {p + n: point for p, t in self.towers().items() for n, point in t.hook_dict.items()}
        self.mod_dict = dict(self.hook_dict)
        self.parts = [
            replace(part, prefix=p + part.prefix, places=tuple(replace(x, prefix=p + x.prefix) for x in part.places))
            for p, tower in self.towers().items()
            for part in tower.parts
        ]
        self.places = [place for part in self.parts for place in part.places]
        self.switch = Switch([native])
        self.training = native.training

    def towers(self) -> dict[str, Any]:
        """Prefix of hook names -> tower."""
        return {f"{attribute}.": getattr(self, attribute) for attribute in self.__dict__["_prefixes"]}

    def norm(self, key: str) -> Any:
        """A native norm by its canonical name, e.g. `vision.blocks.3.ln1`."""
        tower, _, rest = key.partition(".")
        return self.get_submodule(tower).norm(rest)  # type: ignore[operator]

    def run_native(self, given: dict[str, Any]) -> Any:
        """One native forward; raises if a hooked point was not reached."""
        fired = self._fired()
        out = self.native(**given)
        self._demand_fired(fired)
        return out

    def _wrap(self, native: nn.Module) -> "HookedTowers":
        """The same wrapper around another native model."""
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[int, Any]) -> "HookedTowers":
        """A wrapper around a copy of the native model, with the same hooks on its own points."""
        wires = [wire for tower in self.towers().values() for wire in tower.wires]
        for wire in wires:
            wire.detach()
        try:
            native = copy.deepcopy(self.native, memo)
        finally:
            for wire in wires:
                wire.sync()
        new = self._wrap(native)
        memo[id(self)] = new
        for name, point in self.hook_dict.items():
            new.hook_dict[name].adopt(point)
        return new
