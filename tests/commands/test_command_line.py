import json
import subprocess
import sys
from pathlib import Path

import pytest

from vitreous.__main__ import main, parser
from vitreous.commands import COMMANDS
from vitreous.commands.screen import figure
from vitreous.data import Scenes


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_says_something_about_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"vitreous {command}" in text
    sub = next(a for a in parser(command)._actions if a.dest == "command").choices[command]
    assert all(action.help for action in sub._actions)
    assert len(sub.description) > 40


def test_no_command_prints_the_overview(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert all(name in out for name in COMMANDS)


def test_unknown_commands_and_options_exit_with_2_and_name_the_help(capsys):
    for argv in (["frobnicate"], ["cache", "--nope"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 2
        assert "--help" in capsys.readouterr().err


def test_models_lists_the_embedded_model_and_the_families(capsys):
    code, out, _ = run(capsys, "models", "--json")
    data = json.loads(out)
    assert code == 0
    assert "vitreous/scenes-clip" in [m["name"] for m in data["embedded"]]
    native = {c for f in data["families"] for c in f["native classes"]}
    assert {"CLIPModel", "SiglipModel", "ViTForImageClassification", "DeiTModel", "Dinov2Model"} <= native


def test_inspect_shows_points_shapes_and_the_token_map(capsys):
    code, out, _ = run(capsys, "inspect", "vitreous/scenes-clip", "--points", "vision.blocks.0.attn.*")
    assert code == 0
    assert "vision.blocks.0.attn.hook_pattern" in out
    assert "1 6 65 65" in out
    assert "grid 8 x 8" in out
    assert "text.blocks.0" not in out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["inspect", "vitreous/scenes-clop"], "did you mean 'vitreous/scenes-clip'"),
        (["inspect", "openai/clip-vit-base-patch32"], "cannot download 'openai/clip-vit-base-patch32'"),
        (["inspect", "vitreous/scenes-clip", "--points", "nonsense.*"], "nonsense"),
        (["cache", "vitreous/scenes-clip", "--data", "scenes:9", "--point", "blocks.1.hook_resid_pst", "--out", "x"],
         "did you mean 'blocks.1.hook_resid_post'"),
        (["cache", "vitreous/scenes-clip", "--data", "no/such/folder", "--point", "hook_embed", "--out", "x"],
         "no/such/folder"),
        (["train", "no-store", "--out", "x"], "no-store"),
        (["evaluate", "no-coder", "--data", "scenes:9"], "no-coder"),
        (["cache", "--config", "no.yaml"], "cannot read the configuration no.yaml"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line_that_helps(argv, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_yaml_file_gives_defaults_and_the_command_line_wins(tmp_path, capsys):
    config = tmp_path / "cache.yaml"
    config.write_text(
        "model: vitreous/scenes-clip\ndata: scenes:6\npoint: [blocks.0.hook_resid_post]\nbatch-size: 3\n"
        f"out: {tmp_path / 'a'}\n"
    )
    code, out, _ = run(capsys, "cache", "--config", str(config), "--out", str(tmp_path / "b"), "--limit", "4")
    assert code == 0, out
    assert not (tmp_path / "a").exists()
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["plan"]["batch_size"] == 3
    assert manifest["n_rows"] == 4 * 64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("batchsize: 3", "did you mean 'batch-size'"),
        ("batch-size: -3", "not a positive integer"),
        ("dtype: float33", "choose from float32"),
        ("- 1", "must be a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_yaml_file_says_what_is_wrong(text, told, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = run(capsys, "cache", "--config", str(tmp_path / "c.yaml"))
    assert code == 2
    assert told in err


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory) -> Path:
    """cache and train, as a user would call them."""
    folder = tmp_path_factory.mktemp("pipeline")
    for argv in (
        ["cache", "vitreous/scenes-clip", "--data", "scenes:60?seed=5", "--point", "vision.blocks.2.hook_resid_post",
         "--out", str(folder / "store")],
        ["train", str(folder / "store"), "--latents", "256", "--k", "8", "--epochs", "2", "--batch-size", "256",
         "--wandb", "trial", "--wandb-mode", "offline", "--out", str(folder / "run")],
    ):  # fmt: skip
        code = "import sys; from vitreous.__main__ import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run([sys.executable, "-c", code, *argv], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def test_train_leaves_a_coder_a_log_and_an_offline_wandb_run(pipeline):
    assert (pipeline / "run" / "coder" / "coder.safetensors").exists()
    meta = json.loads((pipeline / "run" / "coder" / "config.json").read_text())["meta"]
    assert meta["model"] == "vitreous/scenes-clip"
    assert meta["hook_point"] == "blocks.2.hook_resid_post"
    assert meta["tokens"] == "patch"
    assert (pipeline / "run" / "metrics.csv").read_text().count("\n") >= 2
    assert list(pipeline.rglob("*.wandb"))


def test_evaluate_measures_everything_on_scenes(pipeline, capsys, tmp_path):
    code, out, err = run(
        capsys, "evaluate", str(pipeline / "run"), "--data", "scenes:40?seed=8&n_objects=1", "--no-factors",
        "--json", str(tmp_path / "r.json"),
    )  # fmt: skip
    assert code == 0, err
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["reconstruction"]["l0"] == pytest.approx(8, abs=0.5)
    assert 0 < result["reconstruction"]["fvu"] < 1
    assert result["downstream"]["n_classes"] == len({"circle", "square", "triangle", "star", "ring", "cross"})
    assert result["downstream"]["truth"] == "labels of the data"
    for name in ("FVU", "top-1 spliced", "recovered vs mean"):
        assert name in out


def test_evaluate_without_labels_asks_what_the_clean_model_says(pipeline, capsys, tmp_path):
    for i, scene in enumerate(Scenes(6, seed=1)):
        scene.image.save(tmp_path / f"{i}.png")
    code, _, err = run(
        capsys, "evaluate", str(pipeline / "run" / "coder"), "--data", str(tmp_path), "--classes", "red", "blue",
        "--template", "a {} object", "--json", str(tmp_path / "r.json"),
    )  # fmt: skip
    assert code == 0, err
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["downstream"]["accuracy_clean"] == 1.0
    assert result["downstream"]["truth"] == "the clean model's answers"
    assert "factors" not in result


def test_dashboard_opens_with_names_and_factors(pipeline, capsys, tmp_path):
    code, out, err = run(
        capsys, "dashboard", str(pipeline / "run"), "--store", str(pipeline / "store"), "--out", str(tmp_path / "page")
    )
    assert code == 0, err
    assert (tmp_path / "page" / "index.html").exists()
    written = "".join(p.read_text() for p in (tmp_path / "page" / "data").glob("*.js"))
    assert "colour=red" in written
    o = Scenes(60, seed=5)[0].objects[0]
    assert f'"{o.size} {o.texture} {o.colour} {o.shape}"' in written  # the objects of the scenes as regions
    assert str(tmp_path / "page" / "index.html") in out


def test_the_whole_quickstart(tmp_path, capsys, monkeypatch):
    from dataclasses import replace

    from vitreous.commands import quickstart

    small = replace(
        quickstart.PLANS["scenes"], data="scenes:80?seed=1", held_out="scenes:20?seed=2&n_objects=1", latents=128,
        epochs=1, n_scenes=24,
    )  # fmt: skip
    monkeypatch.setitem(quickstart.PLANS, "scenes", small)
    code, out, err = run(capsys, "quickstart", "--out", str(tmp_path / "q"))
    assert code == 0, err
    assert (tmp_path / "q" / "dashboard" / "index.html").exists()
    assert "factor F1, sae" in out
    saved = json.loads((tmp_path / "q" / "coder" / "config.json").read_text())["meta"]["metrics"]
    assert saved["L0"] == pytest.approx(small.k, abs=0.5)
    assert run(capsys, "quickstart", "--out", str(tmp_path / "q"))[0] == 0  # a second call finds everything done


def test_figures():
    assert figure(True) == "True"
    assert [figure(v) for v in (1234, 0.5, float("nan"), "a")] == ["1,234", "0.500", "-", "a"]
