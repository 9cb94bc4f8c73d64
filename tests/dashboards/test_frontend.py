"""The committed bundle is what the committed sources make, and it refers to no host."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import vitreous.dashboards

HOME = Path(vitreous.dashboards.__file__).parent
FRONTEND, STATIC = HOME / "frontend", HOME / "static"
FILES = ("app.css", "app.js", "index.html")


def test_static_files_refer_to_no_host_and_need_no_module_loader():
    for name in FILES:
        text = (STATIC / name).read_text(encoding="utf-8")
        text = text.replace("http://www.w3.org/", "")  # names of XML namespaces, never fetched
        assert not re.search(r"https?://", text), name
        assert not re.search(r"\bimport\s*\(|type=.?module|new Worker\(|\beval\(|new Function\(", text), name
    page = (STATIC / "index.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"\son[a-z]+=", page)
    assert not re.search(r"<script>|<style>", page)


def test_sources_never_make_markup_from_text():
    for path in (FRONTEND / "src").iterdir():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", path.read_text()), path.name


def test_the_bundle_is_small():
    assert sum((STATIC / name).stat().st_size for name in FILES) < 250_000


def test_lockfile_names_no_registry():
    assert "resolved" not in (FRONTEND / "package-lock.json").read_text()


@pytest.fixture(scope="module")
def node():
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the committed bundle cannot be rebuilt here")
    if not (FRONTEND / "node_modules" / "esbuild").exists():
        pytest.skip("run `npm ci` in vitreous/dashboards/frontend to let this test rebuild the bundle")
    return "node"


def test_committed_bundle_is_what_the_sources_make(node, tmp_path):
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=FRONTEND, check=True, timeout=120)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), f"{name}: run `npm run build` and commit"


def test_sources_pass_the_type_checker(node):
    run = subprocess.run(
        ["npx", "--no-install", "tsc", "--noEmit"], cwd=FRONTEND, capture_output=True, text=True, timeout=180
    )
    assert run.returncode == 0, run.stdout
