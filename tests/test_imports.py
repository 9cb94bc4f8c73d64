"""Imports point down: the order of the parts is read off the syntax tree, so that it holds for lazy imports too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "vitreous"
LEVELS = (
    ("errors",),
    ("hooked", "sae", "metrics", "data"),
    ("training", "pretrained", "circuits", "saliency", "concepts"),
    ("dashboards",),
    ("commands",),  # the command line calls everything, the dashboards included; nothing calls it
    ("__main__",),
)
"""A part may import itself and the parts of the levels before its own; parts of one level never import each other."""

LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
BY_NAME = {"import_module", "__import__", "files", "find_spec"}  # functions that import a module given as a string


def violations(root: Path) -> list[str]:
    """Every import below the package folder ``root`` that the levels forbid, as "file:line: what"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if "node_modules" in place.parts:
            continue
        part = place.parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if part == "__init__":  # the front door: names load on first use, nothing at import time
            forbidden = [(node.lineno, "an import at import time") for node in tree.body if _imports_package(node)]
        elif part not in LEVEL:
            forbidden = [(1, f"part {part!r} has no level")]
        else:
            package = ("vitreous", *place.parts[:-1])
            forbidden = [
                (line, f"{part} imports {target}")
                for line, target in _imported(tree, package)
                if not _allowed(part, target)
            ]
        found += [f"{place.as_posix()}:{line}: {what}" for line, what in forbidden]
    return found


def _imports_package(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) and any(_imported(node, ("vitreous",)))


def _allowed(part: str, target: str) -> bool:
    return target in (part, "__version__") or LEVEL.get(target, len(LEVELS)) < LEVEL[part]


def _imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, part of vitreous) for every import in the tree; ``package`` is where relative imports start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [(*alias.name.split("."), "the whole package") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            stem = (*start, *(node.module or "").split(".")) if node.module else start
            modules = [(*stem, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and _name(node.func) in BY_NAME:
            text = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            modules = [tuple(text.split("."))] if isinstance(text, str) else []
        else:
            continue
        yield from ((node.lineno, module[1]) for module in modules if module[0] == "vitreous" and len(module) > 1)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_imports_point_down() -> None:
    assert violations(ROOT) == []


PLANTED = {
    "a sibling": ("sae/coder.py", "from vitreous.hooked.vit import HookedViT"),
    "a sibling, inside a function": ("sae/coder.py", "def f():\n    from vitreous.data import Item"),
    "a sibling, for types only": ("metrics/l0.py", "if TYPE_CHECKING:\n    import vitreous.sae.coder as coder"),
    "a sibling, relative": ("training/deep/loop.py", "from ...circuits import patching"),
    "a sibling, by name": ("data/images.py", "x = importlib.import_module('vitreous.sae')"),
    "upwards": ("hooked/vit.py", "from vitreous.training import harvest"),
    "upwards, through the package": ("hooked/vit.py", "from vitreous import training"),
    "upwards, two at once": ("errors.py", "import os, vitreous.metrics"),
    "the command line": ("dashboards/page.py", "from vitreous.__main__ import main"),
    "the front door": ("sae/coder.py", "from vitreous import HookedViT"),
    "the whole package": ("sae/coder.py", "import vitreous"),
    "a part without a level": ("novel/thing.py", "x = 1"),
    "eager front door": ("__init__.py", "from vitreous.sae import SparseCoder"),
}

PERMITTED = {
    "down": ("training/harvest.py", "from vitreous.hooked import HookedViT\nfrom vitreous import errors"),
    "itself": (
        "sae/coder.py",
        "from vitreous.sae.activation import TopK\nfrom . import codes\nfrom .codes import Codes",
    ),
    "the version": ("sae/coder.py", "from vitreous import __version__"),
    "others": ("sae/coder.py", "import torch, einops\nfrom vitreous_extra import hooked"),
    "the command line": ("__main__.py", "from vitreous.dashboards import render"),
    "lazy front door": ("__init__.py", "def __getattr__(name):\n    from vitreous.sae import SparseCoder"),
    "front door for types": ("__init__.py", "if TYPE_CHECKING:\n    from vitreous.sae import SparseCoder"),
}


@pytest.mark.parametrize("file, code", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_found(tmp_path: Path, file: str, code: str) -> None:
    assert len(_planted(tmp_path, file, code)) == 1


@pytest.mark.parametrize("file, code", PERMITTED.values(), ids=PERMITTED.keys())
def test_a_permitted_import_is_not(tmp_path: Path, file: str, code: str) -> None:
    assert _planted(tmp_path, file, code) == []


def _planted(root: Path, file: str, code: str) -> list[str]:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(code)
    return violations(root)


def test_every_file_was_looked_at() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} >= {"__init__", "errors"}
    assert len(list(ROOT.rglob("*.py"))) > 5
