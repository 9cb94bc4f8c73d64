"""The commands on a vision-language model in a folder."""

import json
from pathlib import Path

import pytest

from tests.commands.test_command_line import run
from tests.tiny_vlm import VLM_TINY
from vitreous.commands import load
from vitreous.errors import UnsupportedError
from vitreous.hooked import VLM_FAMILIES, HookedViT, HookedVLM
from vitreous.hooked.families import FAMILIES
from vitreous.hooked.family import beyond


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("llava")
    VLM_TINY[0].native().save_pretrained(path)
    return path


def test_models_shows_what_each_family_exposes(capsys):
    code, out, _ = run(capsys, "models", "--json")
    data = json.loads(out)
    assert code == 0
    assert [f["family"] for f in data["vision-language"]] == [f.name for f in VLM_FAMILIES]
    llava = data["vision-language"][0]
    assert llava["towers"] == ["vision.", "connector.", "language."]
    assert "LlavaForConditionalGeneration" in llava["native classes"]
    more = {(f["family"], f["kind"]): f["more points"] for f in data["families"]}
    assert "decoder.*" in more["mae", "vision"]
    assert more["clip", "vision"] == ["hook_post_proj"]
    assert more["llama", "language"] == []
    code, out, _ = run(capsys, "models")
    assert code == 0
    assert "Vision-language models" in out
    assert "decoder.*" in out


def test_globs_beyond_the_usual_match_points():
    model = HookedVLM.from_native(VLM_TINY[0].native())
    for tower in model.towers().values():
        assert all(tower.points(glob) for glob in beyond(tower.family) if "hook_post_proj" not in glob)
    assert all(len(set(beyond(family))) == len(beyond(family)) for family in FAMILIES)


def test_inspect_shows_the_towers_and_their_shapes(folder, capsys):
    code, out, _ = run(capsys, "inspect", str(folder))
    assert code == 0
    assert "HookedVLM around LlavaForConditionalGeneration" in out
    assert "vision. 2 layers, d_model 32, 4 heads of 8, d_mlp 64, 17 positions: 1 before the patches (cls)" in out
    assert "connector. LlavaMultiModalProjector (llava-projector)" in out
    assert "language. 2 layers, d_model 32, 4 heads of 8, 2 of keys and values" in out
    assert "120 logits" in out
    assert "no processor: " in out
    assert "connector.mlp.hook_pre" in out
    code, out, _ = run(capsys, "inspect", str(folder), "--points", "language.*attn.hook_[kq]")
    assert "1 2 4 8" in out
    assert "1 2 2 8" in out


def test_the_widest_wrapper_and_the_vision_tower(folder):
    assert isinstance(load.hooked(str(folder)), HookedVLM)
    for tower in (load.hooked(str(folder), ("vision",)), load.vision(str(folder))):
        assert isinstance(tower, HookedViT)
        assert tower.name == str(folder)
        assert tower.points()[-1] == "hook_ln_final"
    with pytest.raises(UnsupportedError, match="no text tower"):
        load.hooked(str(folder), ("text",))
