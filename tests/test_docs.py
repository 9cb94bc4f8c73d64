"""The Python of the documentation runs, block after block, and does what the text says."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def run(page: str) -> tuple[dict[str, Any], str]:
    """Runs the Python blocks of a page in one namespace; returns the names they define and what they print."""
    blocks = re.findall(r"```python\n(.*?)```", ((ROOT if page == "README.md" else DOCS) / page).read_text(), re.S)
    assert blocks, f"{page} has no Python"
    names: dict[str, Any] = {"__name__": "docs"}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in blocks:
            exec(compile(block, page, "exec"), names)
    return names, printed.getvalue()


def test_how_to_add_a_family() -> None:
    from vitreous.hooked import FAMILIES
    from vitreous.hooked.check import CHECKS

    assert not any("Owlv2VisionModel" in family.classes for family in FAMILIES), "choose one that is not supported yet"
    assert len((DOCS / "add-a-family.md").read_text().splitlines()) < 60
    names, printed = run("add-a-family.md")
    assert "pre_layernorm" in printed
    assert set(names["report"].checks) <= set(CHECKS)
    assert "parity with every point hooked" in names["report"].checks
    assert names["model"].points("blocks.1.attn.*")[0] == "blocks.1.attn.hook_q"


def test_vision_language_models() -> None:
    names, printed = run("models.md")
    assert "language.blocks.0.attn.hook_pattern" in printed
    assert " on a" in printed  # the description of a scene ends with its background
    assert names["model"].missing == ""
    assert names["plain"].shape == names["edited"].shape


def test_readme() -> None:
    names, _ = run("README.md")
    vlm, inputs, answer = (names[k] for k in ("vlm", "inputs", "answer"))
    patched = vlm.generate(inputs, fwd_hooks=[("connector.hook_out", names["patch"])])
    assert (answer(vlm.generate(inputs)), answer(patched)) == ("red", "pink")  # as the page says
    assert not torch.equal(names["clean"], names["ablated"])
