"""HookedConnector: what stands between a vision tower and a language model."""

from typing import Any

from torch import nn

from vitreous.errors import UnsupportedError
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.loading import demand_family
from vitreous.hooked.tower import HookedTower
from vitreous.hooked.wiring import find


class HookedConnector(HookedTower):
    """A projector, merger, resampler or Q-Former; run it alone with `model(features)`."""

    @classmethod
    def part_of(cls, root: nn.Module, family: VLMFamily, name: str = "") -> "HookedConnector":
        """The connector inside a native VLM.

        Raises:
            UnsupportedError: if its class is unknown.
        """
        native = find(root, root, family.connector)
        if native is None:
            raise UnsupportedError(f"{type(root).__name__} has no connector at {family.connector!r}")
        own, entry = demand_family(type(native).__name__, "connector")
        return cls(native, own, None, name, root=root, entry=entry)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Runs the native connector."""
        fired = self._fired()
        out = self.native(*inputs, **kwargs)
        self._demand_fired(fired)
        return out

    def _n_ctx(self) -> int:
        return 0
