"""Names to models: folders, embedded models, hub ids without a network, and checkpoints that do not fit."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPImageProcessorPil, PreTrainedTokenizerFast

from tests.hooked.test_model import tiny
from tests.tiny import pixels
from vitreous.errors import (
    BadInputError,
    FormatError,
    MissingDependencyError,
    NetworkError,
    UnknownNameError,
    UnsupportedError,
)
from vitreous.hooked import HookedCLIP, HookedTextEncoder, HookedViT, loading

WORDS = ("<pad>", "<s>", "</s>", "<unk>", "a", "red", "blue", "ring", "on", "navy")


def tokenizer() -> Any:
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 119)]
    )
    plain.add_special_tokens(["<s>", "</s>", "<pad>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    tiny("CLIPModel").native().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32, image_mean=[0.4, 0.5, 0.6]).save_pretrained(folder)
    return folder


@pytest.fixture
def vit_folder(tmp_path: Path) -> Path:
    tiny("ViTForImageClassification").native().save_pretrained(tmp_path)
    return tmp_path


def picture(width: int = 50, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_folder_gives_the_weights_that_were_saved(clip_folder: Path) -> None:
    native = tiny("CLIPModel").native()
    model = HookedCLIP.from_pretrained(str(clip_folder))
    assert model.name == str(clip_folder)
    assert not model.training
    assert torch.equal(model.vision(pixels()).pooler_output, native.get_image_features(pixels()).pooler_output)
    half = HookedViT.from_pretrained(str(clip_folder), dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.preprocess(picture()).shape == (1, 3, 32, 32)
    assert half(half.preprocess(picture())).pooler_output.dtype == torch.bfloat16


def test_an_embedded_name_is_a_folder_of_the_package(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "pretrained" / "assets"
    assets.mkdir(parents=True)
    (assets / "toy-clip").symlink_to(clip_folder)
    monkeypatch.setattr(loading, "files", lambda package: tmp_path)
    assert loading.embedded() == ["vitreous/toy-clip"]
    assert HookedViT.from_pretrained("vitreous/toy-clip").name == "vitreous/toy-clip"
    with pytest.raises(UnknownNameError, match="did you mean 'vitreous/toy-clip'"):
        HookedViT.from_pretrained("vitreous/toy-clp")


def test_every_embedded_model_loads() -> None:
    for name in loading.embedded():
        native = loading.class_name(loading.read_config(loading.locate(name)), loading.locate(name))
        if loading.family_of(native, "vision"):
            assert HookedViT.from_pretrained(name).points("blocks.0.*")


def test_preprocessing_comes_from_the_folder_or_from_the_config(clip_folder: Path, vit_folder: Path) -> None:
    model = HookedViT.from_pretrained(str(clip_folder))
    assert tuple(model.processor.image_mean) == (0.4, 0.5, 0.6)
    for each in (
        model,
        HookedViT.from_pretrained(str(vit_folder)),
        HookedViT.from_native(tiny("Dinov2Model").native()),
    ):
        assert "Pil" in type(each._processor()).__name__
        batch = each.preprocess([picture(), picture(33, 70)])
        assert batch.shape == (2, 3, 32, 32)
        exact = picture(32, 32)
        back = each.unprocess(each.preprocess(exact))[0] if "Bit" not in type(each.processor).__name__ else exact
        assert np.abs(np.asarray(back).astype(int) - np.asarray(exact)).max() <= 1
    with pytest.raises(BadInputError, match="image 0 is a str"):
        model.preprocess(["cat.png"])
    with pytest.raises(BadInputError, match="no images"):
        model.preprocess([])


def test_grey_and_transparent_images_and_items(vit_folder: Path) -> None:
    model = HookedViT.from_pretrained(str(vit_folder))

    class Item:
        image = picture().convert("L")

    assert torch.equal(model.preprocess(Item()), model.preprocess(picture().convert("L").convert("RGB")))
    assert model.preprocess([picture().convert("RGBA")]).shape == (1, 3, 32, 32)


def test_text_and_zero_shot(clip_folder: Path) -> None:
    model = HookedCLIP.from_pretrained(str(clip_folder))
    batch = model.tokenize(["a red ring", "ring"])
    assert batch["input_ids"].tolist() == [[1, 4, 5, 7, 119], [1, 7, 119, 0, 0]]
    both = model.embed_text(["a red ring", "ring"])
    assert torch.allclose(both.norm(dim=-1), torch.ones(2))
    assert torch.allclose(both[1], model.embed_text("ring")[0], atol=1e-6)  # padding is not seen
    classes = model.zero_shot({"red": ["a red ring", "red"], "blue": "a blue ring"})
    mean = torch.nn.functional.normalize(model.embed_text(["a red ring", "red"]).mean(0), dim=-1)
    assert torch.allclose(classes[0], mean, atol=1e-6)
    assert torch.allclose(classes[1], model.embed_text("a blue ring")[0], atol=1e-6)
    native = model.native(**model.tokenize(["a red ring", "ring"]), pixel_values=pixels())
    assert torch.allclose(model.logits(pixels(), both), native.logits_per_image, atol=1e-4)
    assert torch.equal(model(pixels(), ["a red ring", "ring"]).logits_per_image, native.logits_per_image)
    assert torch.equal(model.logit_scale, model.native.logit_scale.exp())
    assert model.logit_bias is None
    for empty in ({}, {"red": []}):
        with pytest.raises(BadInputError, match="at least one prompt"):
            model.zero_shot(empty)
    text = HookedTextEncoder.from_pretrained(str(clip_folder))
    assert torch.equal(text(["a red ring"]).pooler_output, model.text("a red ring").pooler_output)
    assert text.tokens.kind == ("text",) * 16


def test_siglip_has_a_bias_and_text_without_a_tokenizer_is_an_error() -> None:
    model = HookedCLIP.from_native(tiny("SiglipModel").native())
    ids = tiny("SiglipModel", "text").inputs()
    classes = model.embed_text(ids)
    want = model.native(**ids, pixel_values=pixels()).logits_per_image
    assert torch.allclose(model.logits(pixels(), classes), want, atol=1e-4)
    with pytest.raises(BadInputError, match="has no tokenizer"):
        model.zero_shot(["a ring"])


def broken(folder: Path, edit: Any) -> str:
    file = folder / "model.safetensors"
    weights = load_file(file)
    edit(weights)
    save_file(weights, file, metadata={"format": "pt"})
    return str(folder)


def test_keys_that_do_not_fit_are_listed(vit_folder: Path) -> None:
    def edit(weights: dict[str, torch.Tensor]) -> None:
        del weights[next(k for k in weights if "layer.1" in k and "query.bias" in k)]
        weights["spare.weight"] = torch.zeros(2)
        weights["classifier.bias"] = torch.zeros(7)

    with pytest.raises(FormatError) as error:
        HookedViT.from_pretrained(broken(vit_folder, edit))
    text = str(error.value)
    assert "missing: " in text
    assert "1" in text.partition("missing: ")[2]
    assert "unexpected: spare.weight" in text
    assert "classifier.bias is (7,), should be (5,)" in text


def test_a_checkpoint_without_a_pooler_loads_without_one(tmp_path: Path) -> None:
    tiny("ViTModel").native().save_pretrained(tmp_path)
    folder = broken(tmp_path, lambda w: [w.pop(k) for k in list(w) if k.startswith("pooler")])
    model = HookedViT.from_pretrained(folder)
    assert model.native.pooler is None
    assert "pool.hook_out" not in model.points()


def test_bin_files_load_as_weights_and_never_as_programs(tmp_path: Path) -> None:
    native = tiny("ViTModel").native()
    native.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    model = HookedViT.from_pretrained(str(tmp_path))
    assert torch.equal(model(pixels()).last_hidden_state, native(pixels()).last_hidden_state)

    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "executed").touch, ())

    torch.save({"x": Evil()}, tmp_path / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(FormatError):
        HookedViT.from_pretrained(str(tmp_path))
    assert not (tmp_path / "executed").exists()


def test_sharded_bf16_weights_load(tmp_path: Path) -> None:
    native = tiny("ViTModel").native().bfloat16()
    native.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    model = HookedViT.from_pretrained(str(tmp_path), dtype=torch.bfloat16)
    assert torch.equal(model(pixels()).last_hidden_state, native(pixels().bfloat16()).last_hidden_state)


def test_sharded_files_are_checked_like_single_ones(tmp_path: Path) -> None:
    """bf16 shards as float32; a key that only the index has, a shard that is gone, a pickle among the shards."""
    native = tiny("ViTModel").native().bfloat16()
    native.save_pretrained(tmp_path, max_shard_size="20KB")
    model = HookedViT.from_pretrained(str(tmp_path))
    assert model.dtype == torch.float32
    assert torch.equal(model(pixels()).last_hidden_state, native.float()(pixels()).last_hidden_state)
    shard = sorted(tmp_path.glob("*.safetensors"))[0]
    weights = load_file(shard)
    name = sorted(weights)[0]
    save_file({k: v for k, v in weights.items() if k != name}, shard, metadata={"format": "pt"})
    with pytest.raises(FormatError, match="missing: "):
        HookedViT.from_pretrained(str(tmp_path))
    shard.unlink()
    with pytest.raises(FormatError, match=tmp_path.name):
        HookedViT.from_pretrained(str(tmp_path))


def test_sharded_pickles_are_weights_or_refused(tmp_path: Path) -> None:
    native = tiny("ViTModel").native()
    native.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    shards = {name: f"pytorch_model-0000{i % 2 + 1}-of-00002.bin" for i, name in enumerate(weights)}
    for file in set(shards.values()):
        torch.save({name: weights[name] for name in weights if shards[name] == file}, tmp_path / file)
    index = {"metadata": {}, "weight_map": shards}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    model = HookedViT.from_pretrained(str(tmp_path))
    assert torch.equal(model(pixels()).last_hidden_state, native(pixels()).last_hidden_state)

    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "executed").touch, ())

    torch.save({"x": Evil()}, tmp_path / "pytorch_model-00002-of-00002.bin", pickle_module=pickle)
    with pytest.raises(FormatError):
        HookedViT.from_pretrained(str(tmp_path))
    assert not (tmp_path / "executed").exists()


def test_timm_and_open_clip_are_asked_for_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingDependencyError, match=r"pip install vitreous\[timm\]"):
        HookedViT.from_pretrained("timm/vit_base_patch16_224.augreg_in21k_ft_in1k")
    with pytest.raises(MissingDependencyError, match=r"pip install vitreous\[open-clip\]"):
        HookedCLIP.from_pretrained("open_clip:ViT-B-32/laion2b_s34b_b79k")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224"}))
    with pytest.raises(MissingDependencyError, match="timm"):
        HookedViT.from_pretrained(str(tmp_path))


def test_a_truncated_file_is_named(vit_folder: Path) -> None:
    file = vit_folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(FormatError, match=vit_folder.name):
        HookedViT.from_pretrained(str(vit_folder))


def test_unsupported_classes_say_what_was_found_and_what_is_supported(vit_folder: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"Linear has no vision tower.*ViTModel"):
        HookedViT.from_native(torch.nn.Linear(2, 2))
    with pytest.raises(UnsupportedError, match=r"ViTForImageClassification has no text tower"):
        HookedTextEncoder.from_pretrained(str(vit_folder))
    config = json.loads((vit_folder / "config.json").read_text())
    (vit_folder / "config.json").write_text(json.dumps(config | {"architectures": ["ResNetModel"]}))
    with pytest.raises(UnsupportedError, match="ResNetModel"):
        HookedViT.from_pretrained(str(vit_folder))
    (vit_folder / "config.json").write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        HookedViT.from_pretrained(str(vit_folder))


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"without config\.json"):
        HookedViT.from_pretrained(str(tmp_path))
    with pytest.raises(BadInputError, match="is not a folder"):
        HookedViT.from_pretrained(str(tmp_path / "none"))


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_id_without_a_network_is_one_line(offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants

    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(HfApi, "model_info", unreachable)
    with pytest.raises(NetworkError, match="openai/clip-vit-base-patch32") as error:
        HookedViT.from_pretrained("openai/clip-vit-base-patch32-nowhere")
    assert "\n" not in str(error.value)
    assert "local folder" in str(error.value)
