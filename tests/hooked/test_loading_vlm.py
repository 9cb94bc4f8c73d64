"""Vision-language models from folders: weights, processors, shards, options that are passed on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

import vitreous
from tests.hooked.test_loading import broken
from tests.hooked.test_model import tiny
from tests.tiny_vlm import IMAGE_TOKEN, VLM_TINY
from vitreous.errors import BadInputError, FormatError, UnsupportedError
from vitreous.hooked import HookedVLM, checkpoint, loading

WORDS = ("<pad>", "<s>", "</s>", "<unk>", "a", "red", "ring", "<image>", "is", "the", "blue", "?")


def processor() -> Any:
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain.add_special_tokens(["<s>", "</s>", "<pad>", "<image>"])
    words = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        extra_special_tokens={"image_token": "<image>"},
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    return LlavaProcessor(
        images, words, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    VLM_TINY[0].native().save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_gives_weights_and_processor(folder: Path) -> None:
    processor().save_pretrained(folder)
    native, inputs = VLM_TINY[0].native(), VLM_TINY[0].inputs()
    model = vitreous.HookedVLM.from_pretrained(str(folder))
    assert (model.name, model.missing, model.training) == (str(folder), "", False)
    assert torch.equal(model(inputs).logits, native(**inputs).logits)
    assert isinstance(model.processor, LlavaProcessor)
    assert "Pil" in type(model.processor.image_processor).__name__
    from PIL import Image

    batch = model.processor(images=Image.new("RGB", (40, 50)), text="<image> is the ring red ?", return_tensors="pt")
    assert (batch["input_ids"] == IMAGE_TOKEN).sum() == 16
    assert model(batch).logits.shape[1] == batch["input_ids"].shape[1]
    half = HookedVLM.from_pretrained(str(folder), dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half(batch).logits.dtype == torch.bfloat16


def test_a_model_without_a_processor_is_of_use(folder: Path) -> None:
    model = HookedVLM.from_pretrained(str(folder))
    assert model.processor is None
    assert "save one into the folder" in model.missing
    assert model(VLM_TINY[0].inputs()).logits.shape[0] == 2


def test_a_processor_that_needs_a_library_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor().save_pretrained(folder)

    def needs(*args: Any, **kwargs: Any) -> None:
        raise ImportError(
            "\nQwen2VLVideoProcessor requires the Torchvision library but it was not found.\nInstall it.\n"
        )

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", needs)
    model = HookedVLM.from_pretrained(str(folder))
    assert model.processor is None
    assert "requires the Torchvision library" in model.missing
    assert "\n" not in model.missing
    with pytest.raises(BadInputError, match="requires the Torchvision library"):
        model.preprocess([], "a")
    assert model.generate(VLM_TINY[0].inputs(), max_new_tokens=1, pad_token_id=0).shape == (2, 22)


def test_an_embedded_name_is_a_folder_of_the_package(folder: Path, tmp_path_factory: Any, monkeypatch: Any) -> None:
    root = tmp_path_factory.mktemp("package")
    (root / "pretrained" / "assets").mkdir(parents=True)
    (root / "pretrained" / "assets" / "toy-vlm").symlink_to(folder)
    monkeypatch.setattr(loading, "files", lambda package: root)
    assert HookedVLM.from_pretrained("vitreous/toy-vlm").name == "vitreous/toy-vlm"


def test_shards_load_and_may_stay_on_disk(tmp_path: Path) -> None:
    native, inputs = VLM_TINY[0].native(), VLM_TINY[0].inputs()
    native.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    want = native(**inputs).logits
    assert torch.equal(HookedVLM.from_pretrained(str(tmp_path))(inputs).logits, want)
    where = {
        "model.vision_tower": "cpu",
        "model.multi_modal_projector": "disk",
        "model.language_model": "disk",
        "lm_head": "cpu",
    }
    model = HookedVLM.from_pretrained(str(tmp_path), device_map=where, offload_folder=str(tmp_path / "away"))
    assert model.language.unembedding.weight.device.type == "cpu"
    assert model.language.layers[0].mlp.up_proj.weight.is_meta
    assert model.device == model.language.device == torch.device("cpu")
    out, cache = model.run_with_cache(inputs, names_filter="language.blocks.1.attn.*")
    real = inputs["attention_mask"].bool()
    assert (out.logits - want)[real].abs().max() <= 2e-5
    assert torch.equal(model(inputs).logits, want)
    assert cache["language.blocks.1.attn.hook_result"].shape == (2, 21, 4, 32)
    assert HookedVLM.from_pretrained(str(tmp_path), device_map="cpu").device == torch.device("cpu")


def test_keys_that_do_not_fit_are_listed(folder: Path) -> None:
    def edit(weights: dict[str, torch.Tensor]) -> None:
        del weights[next(k for k in weights if "linear_1.bias" in k)]
        weights["spare.weight"] = torch.zeros(2)

    with pytest.raises(FormatError, match=r"missing: .*linear_1\.bias.*unexpected: spare\.weight"):
        HookedVLM.from_pretrained(broken(folder, edit))


def test_what_is_no_vision_language_model_is_refused(tmp_path: Path) -> None:
    tiny("ViTModel").native().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedError, match=r"ViTModel is no vision-language model.*LlavaForConditionalGeneration"):
        HookedVLM.from_pretrained(str(tmp_path))
    with pytest.raises(BadInputError, match="is not a folder"):
        HookedVLM.from_pretrained(str(tmp_path / "none"))


def test_options_reach_the_native_loader_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    cls, quantise = transformers.LlavaForConditionalGeneration, object()
    native = cls.from_pretrained

    def loads(path: str, quantization_config: Any = None, **options: Any) -> Any:
        seen.append({"quantization_config": quantization_config, **options})
        options.pop("device_map", None)
        return native(path, **options)

    monkeypatch.setattr(cls, "from_pretrained", loads)
    model = HookedVLM.from_pretrained(
        str(folder),
        quantization_config=quantise,
        attn_implementation="eager",
        low_cpu_mem_usage=True,
        dtype=torch.float64,
    )
    assert seen[-1]["quantization_config"] is quantise
    assert (seen[-1]["attn_implementation"], seen[-1]["dtype"]) == ("eager", torch.float64)
    assert seen[-1]["low_cpu_mem_usage"] is True
    assert "device_map" not in seen[-1]
    assert model.native.config._attn_implementation == "eager"
    HookedVLM.from_pretrained(str(folder), quantization_config=quantise, device="meta")
    assert seen[-1]["device_map"] == {"": "meta"}, "a quantised model goes to its device while it loads"
    HookedVLM.from_pretrained(str(folder))
    assert seen[-1]["quantization_config"] is None
    assert not {"device_map", "attn_implementation", "revision"} & set(seen[-1])


def test_a_revision_is_of_the_hub_only(folder: Path) -> None:
    assert loading.locate(str(folder), "v1").options == {}
    assert loading.locate("owner/name", "v1").options == {"revision": "v1"}
    assert checkpoint.load_processor(loading.locate("owner/name", "v1"))[0] is None  # no network: no processor, and why


def test_a_config_of_another_class_is_refused_before_weights_are_read(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["OtherForConditionalGeneration"]}))
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "lm_head" not in k}, folder / "model.safetensors")
    with pytest.raises(UnsupportedError, match="OtherForConditionalGeneration"):
        HookedVLM.from_pretrained(str(folder))
