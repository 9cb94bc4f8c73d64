"""The package as a thing that is installed: what it costs to import, what it requires, what the wheel holds."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vitreous

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"torch", "transformers", "transformer_lens", "datasets", "wandb", "matplotlib", "pandas", "skimage", "sklearn"}


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_version_is_stated_once() -> None:
    assert vitreous.__version__ == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {PROJECT['version']}" in changelog


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = json.loads(python("import json, sys, vitreous; print(json.dumps(sorted(sys.modules)))"))
    assert HEAVY.isdisjoint(loaded)


needs_command_line = pytest.mark.skipif(
    importlib.util.find_spec("vitreous.__main__") is None, reason="the command line is not written yet"
)
HELP = """
import sys
sys.argv = ["vitreous", "--help"]
from vitreous.__main__ import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
"""


@needs_command_line
def test_help_imports_nothing_heavy() -> None:
    shown = python(HELP + "print('LOADED', *sys.modules)")
    text, loaded = shown.rsplit("LOADED", 1)
    assert "quickstart" in text
    assert HEAVY.isdisjoint(loaded.split())


@needs_command_line
@pytest.mark.skipif(os.name != "posix", reason="processor time of a child is measured the Unix way")
def test_help_answers_in_under_a_second() -> None:
    import resource

    def seconds() -> float:
        """Processor time: what else the machine is busy with does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python(HELP)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    times = []
    while len(times) < 3 and min(times, default=9.0) >= 1.0:
        times.append(seconds())
    assert min(times) < 1.0, times


def test_torchvision_is_not_required_even_through_others() -> None:
    required, waiting = set(), [Requirement(text).name for text in PROJECT["dependencies"]]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in required:
            continue
        required.add(name)
        waiting += _requirements(name)
    assert {"torch", "transformers", "transformer-lens", "wandb", "numpy"} <= required
    assert "torchvision" not in required


def _requirements(name: str) -> list[str]:
    """What an installed distribution requires here, without its extras."""
    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # a requirement of another platform
        return []
    found = [Requirement(text) for text in texts]
    return [each.name for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def test_constraints_pin_everything_that_is_asked_for() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]
    pins = {}
    for line in filter(None, lines):
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), f"not a plain pin: {line!r}"
        name, version = line.split("==")
        pins[name] = version
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"constraints.txt does not pin {name}"
        assert requirement.specifier.contains(pins[name], prereleases=True), f"{requirement} and {name}=={pins[name]}"
    assert pins["torch"] == "2.13.0"
    assert pins["torchvision"] == "0.28.0"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_tracked_file_of_the_package(wheel: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "vitreous"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()}
    packed = set(zipfile.ZipFile(wheel).namelist())
    missing = {name for name in tracked - packed if not name.startswith("vitreous/dashboards/frontend/")}
    assert not missing, "the wheel lacks files (does .gitignore name their folder?)"
    assert not [name for name in packed if name.endswith((".pyc", ".map")) or "node_modules" in name]


def test_the_wheel_holds_models_and_static_pages(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    for folder, ending in (("vitreous/pretrained/assets/", ".safetensors"), ("vitreous/dashboards/", ".js")):
        if not any(path.suffix == ending for path in (ROOT / folder).rglob(f"*{ending}")):
            pytest.skip(f"no {ending} in {folder} yet")
        assert any(name.startswith(folder) and name.endswith(ending) for name in packed)
    assert any(name.endswith("entry_points.txt") for name in packed)


def test_no_machine_paths_in_what_is_shipped() -> None:
    strange = re.compile(r"/(home|root|Users|work|opt)/\w+|index-url|find-links")
    texts = [*(ROOT / "vitreous").rglob("*.py"), ROOT / "pyproject.toml", ROOT / "constraints.txt", ROOT / "Makefile"]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if strange.search(line)
    ]
    assert found == []
