"""Tests of what timm and open_clip are needed for; `make extras` has an environment for them."""

import pytest

_WHY = "{} cannot be imported here: `make extras` makes an environment that has it"
for _library in ("timm", "open_clip"):
    pytest.importorskip(_library, reason=_WHY.format(_library), exc_type=ImportError)
