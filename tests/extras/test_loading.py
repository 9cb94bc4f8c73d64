"""Names and files to models of timm and open_clip: folders, weights files, what does not fit, and QuickGELU."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.tiny import pixels, redraw
from vitreous.errors import FormatError, NetworkError, UnknownNameError, UnsupportedError
from vitreous.hooked import HookedCLIP, HookedTextEncoder, HookedViT, thirdparty

SMALL = {"depth": 1, "embed_dim": 32, "num_heads": 4, "img_size": 32, "patch_size": 8, "num_classes": 5}
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 1},
}


@pytest.fixture
def vit() -> Any:
    return redraw(timm.create_model("vit_tiny_patch16_224", **SMALL).eval())


@pytest.fixture
def vit_folder(vit: Any, tmp_path: Path) -> Path:
    timm.models.save_for_hf(vit, tmp_path, safe_serialization=True)
    return tmp_path


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    native = redraw(open_clip.model.CLIP(**CONFIG).eval())
    config = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    save_file(native.state_dict(), tmp_path / "open_clip_model.safetensors")
    return tmp_path


def picture(width: int = 50, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_timm_folder(vit: Any, vit_folder: Path) -> None:
    model = HookedViT.from_pretrained(str(vit_folder))
    assert type(model.native).__module__.startswith("timm")
    with torch.no_grad():
        assert torch.equal(model(pixels()), vit(pixels()))
    assert model.preprocess([picture()]).shape == (1, 3, 32, 32)
    assert HookedViT.from_pretrained(str(vit_folder), dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("end", ["safetensors", "pth"])
def test_a_timm_weights_file(end: str, tmp_path: Path) -> None:
    native = redraw(timm.create_model("vit_tiny_patch16_224", depth=1).eval())
    file = tmp_path / f"mine.{end}"
    save_file(native.state_dict(), file) if end == "safetensors" else torch.save(native.state_dict(), file)
    model = HookedViT.from_pretrained(f"timm:vit_tiny_patch16_224/{file}", depth=1)
    x = pixels(size=224, batch=1)
    with torch.no_grad():
        assert torch.equal(model(x), native(x))


def test_an_open_clip_folder(clip_folder: Path) -> None:
    model = HookedCLIP.from_pretrained(str(clip_folder))
    native = open_clip.create_model(f"local-dir:{clip_folder}").eval()
    text = ["a red ring", "two blue cubes on a table"]
    ids = open_clip.get_tokenizer(f"local-dir:{clip_folder}")(text)
    assert torch.equal(model.tokenize(text)["input_ids"], ids)
    with torch.no_grad():
        image, words = native.encode_image(pixels(), normalize=True), native.encode_text(ids, normalize=True)
        assert torch.allclose(model.embed_image(pixels()), image, atol=1e-6)
        assert torch.allclose(model.embed_text(text), words, atol=1e-6)
        assert torch.allclose(model.zero_shot(text), words, atol=1e-6)
        logits, _ = native.get_logits(pixels(), ids)
        assert torch.allclose(model.logits(pixels(), words), logits, atol=1e-4)
        for mine, theirs in zip(model(pixels(), text), native(pixels(), ids), strict=True):
            assert torch.equal(mine, theirs)
    assert torch.equal(model.logit_scale, native.logit_scale.exp())
    assert tuple(model.vision._processor().image_mean) == (0.4, 0.5, 0.6)
    assert model.text.tokens.n == 12
    assert torch.equal(HookedTextEncoder.from_pretrained(str(clip_folder))(text), model.text(text))


def test_an_open_clip_weights_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny", CONFIG)
    native = redraw(open_clip.model.CLIP(**CONFIG).eval())
    torch.save({"state_dict": native.state_dict()}, tmp_path / "mine.pt")
    model = HookedCLIP.from_pretrained(f"open_clip:Tiny/{tmp_path / 'mine.pt'}")
    with torch.no_grad():
        assert torch.equal(model.vision(pixels()), native.encode_image(pixels()))


@pytest.mark.parametrize("which", ["timm", "open_clip"])
def test_keys_that_do_not_fit_are_listed(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("vit_folder" if which == "timm" else "clip_folder")
    file = next(folder.glob("*.safetensors"))
    weights = load_file(file)
    missing = "norm.bias" if which == "timm" else "ln_final.bias"
    wrong = "patch_embed.proj.bias" if which == "timm" else "visual.ln_pre.bias"
    del weights[missing]
    weights["spare.weight"] = torch.zeros(2)
    weights[wrong] = torch.zeros(7)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(FormatError) as error:
        HookedViT.from_pretrained(str(folder))
    text = str(error.value)
    for part in (f"missing: {missing}", "unexpected: spare.weight", f"{wrong} is [7], should be [32]"):
        assert part in text


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "open_clip:ViT-B-32"])
def test_a_pickle_is_refused(name: str, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "executed").touch, ())

    torch.save({"state_dict": {"x": Evil()}}, tmp_path / "evil.pth", pickle_module=pickle)
    with pytest.raises(FormatError, match="not plain weights"):
        HookedViT.from_pretrained(f"{name}/{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(FormatError, match="no weights file"):
        HookedViT.from_pretrained(f"{name}/{tmp_path / 'none.pth'}")


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224.augreg_in21k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"])
def test_a_hub_id_without_a_network(name: str) -> None:
    with pytest.raises(NetworkError, match=name):
        HookedViT.from_pretrained(name)


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224.augreg_in21k", "open_clip:ViT-B-32/openai"])
def test_an_architecture_whose_weights_are_elsewhere(name: str) -> None:
    with pytest.raises(NetworkError, match=name):
        HookedViT.from_pretrained(name)


def test_misspelt_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'vit_tiny_patch16_224'"):
        HookedViT.from_pretrained("timm:vit_tiny_patch16_24.augreg_in21k")
    with pytest.raises(UnknownNameError, match="did you mean 'ViT-B-32'"):
        HookedViT.from_pretrained("open_clip:ViT-B32/openai")
    with pytest.raises(UnknownNameError, match="did you mean 'openai'"):
        HookedViT.from_pretrained("open_clip:ViT-B-32/open-ai")


def test_quickgelu_is_chosen_by_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip itself builds exact GELU for `ViT-B-32` with OpenAI's weights, and only warns."""
    plain = thirdparty._activation
    assert plain(open_clip, "ViT-B-32", "openai") == {"force_quick_gelu": True}
    assert plain(open_clip, "ViT-B-32", "laion2b_s34b_b79k") == {}
    assert plain(open_clip, "ViT-B-32-quickgelu", "openai") == {}
    assert plain(open_clip, "roberta-ViT-B-32", "laion2b_s12b_b32k") == {}
    with pytest.raises(UnsupportedError, match=r"use open_clip:ViT-B-32/laion2b_e16"):
        plain(open_clip, "ViT-B-32-quickgelu", "laion2b_e16")
    made: list[str] = []
    monkeypatch.setattr(timm, "create_model", lambda name, **_: made.append(name) or torch.nn.Identity())
    where = {"local": False, "hub": False, "revision": None}
    thirdparty.load_timm("vit_base_patch32_clip_224.openai", "", **where)
    thirdparty.load_timm("vit_base_patch32_clip_224.laion2b", "", **where)
    assert made == ["vit_base_patch32_clip_quickgelu_224.openai", "vit_base_patch32_clip_224.laion2b"]


def test_quickgelu_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from open_clip.transformer import QuickGELU

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Tiny", CONFIG)
    torch.save(redraw(open_clip.model.CLIP(**CONFIG)).state_dict(), tmp_path / "mine.pt")
    weights = {"quick_gelu": True, "file": str(tmp_path / "mine.pt")}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Tiny", {"quick": weights})
    model = HookedCLIP.from_pretrained("open_clip:Tiny/quick")
    assert isinstance(model.vision.layers[0].mlp.gelu, QuickGELU)
    assert isinstance(model.text.layers[0].mlp.gelu, QuickGELU)


def test_the_commands_take_them_too(vit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from vitreous.commands.load import hooked

    assert isinstance(hooked(str(vit_folder)), HookedViT)
    with pytest.raises(UnsupportedError, match="no text tower"):
        hooked(str(vit_folder), kinds=("text",))
    folder = tmp_path_factory.mktemp("clip")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    save_file(open_clip.model.CLIP(**CONFIG).state_dict(), folder / "open_clip_model.safetensors")
    assert isinstance(hooked(str(folder)), HookedCLIP)
