"""Every model that ViT-Prisma lists: it resolves to a library and families, and its architecture is the native one.

Each architecture is built once from its real configuration with random weights, one layer deep, with a vocabulary of
1000 words (ViViT with 4 frames, not 32); all widths, image sizes and activation functions are the real ones.
"""

from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import open_clip
import pytest
import timm
import torch
import transformers
from open_clip import hf_model, timm_model
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from torch import nn

from tests.extras.prisma import TEXT, TINY_CLIP, VISION, Row
from vitreous.errors import UnsupportedError
from vitreous.hooked import FAMILIES, HookedTextEncoder, HookedViT
from vitreous.hooked.check.subject import distance, tensors
from vitreous.hooked.name import CORRECTIONS, resolve

WORDS = {"vocab_size": 1000}
SIZES: dict[str, dict[str, Any]] = {
    "B": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
    "L": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16},
    "S": {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6},
    "T": {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4},
}
CLIP_SIZES = {"B-32": ("B", 32, 224, 512), "B-16": ("B", 16, 224, 512), "Tiny": ("T", 16, 224, 512)}
CLIP_SIZES |= {"L-14": ("L", 14, 224, 768), "L-14-336": ("L", 14, 336, 768)}
ROBERTA = {
    "xlm-roberta-large": (transformers.XLMRobertaConfig, "L"),
    "xlm-roberta-base": (transformers.XLMRobertaConfig, "B"),
}
ROBERTA |= {"roberta-base": (transformers.RobertaConfig, "B")}


def one_layer(architecture: str) -> nn.Module:
    """An open_clip model from its own configuration."""
    config: Any = open_clip.get_model_config(architecture)
    if architecture in TINY_CLIP:
        sizes = TINY_CLIP[architecture]
        text = sizes["text"] | {"heads": sizes["text"]["width"] // 64}
        config = {
            "embed_dim": sizes["text"]["width"],
            "vision_cfg": {"image_size": 224, **sizes["vision"]},
            "text_cfg": text,
        }
    config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = 1
    config["text_cfg"] |= WORDS
    cls = CustomTextCLIP if config.pop("custom_text", False) else CLIP
    if "multimodal_cfg" in config:
        config["multimodal_cfg"] |= WORDS | {"layers": 1}
        cls = CoCa
    with ExitStack() as stack:
        shallow = partial(timm.create_model, depth=1)
        stack.enter_context(patch.object(timm_model.timm, "create_model", shallow))
        name = config["text_cfg"].get("hf_model_name")
        if name:  # its configuration is on the hub
            kind, size = ROBERTA[name]
            encoder = kind(**SIZES[size], **WORDS, num_hidden_layers=1, max_position_embeddings=514, type_vocab_size=1)
            config["text_cfg"]["hf_model_pretrained"] = False
            stack.enter_context(patch.object(hf_model.AutoConfig, "from_pretrained", lambda _: encoder))
            cls = CustomTextCLIP
        return cls(**config)


def build(architecture: str) -> nn.Module:
    """The native model, one layer deep."""
    cls, _, size = architecture.partition("/")
    torch.manual_seed(0)
    if cls == "CLIPModel":
        width, patch_size, image, joint = CLIP_SIZES[size]
        vision = {**SIZES[width], "patch_size": patch_size, "image_size": image, "num_hidden_layers": 1}
        text = {**SIZES["T" if size == "Tiny" else "B"], **WORDS, "num_hidden_layers": 1, "eos_token_id": 999}
        config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=joint)
        return transformers.CLIPModel(config)
    if cls in ("ViTModel", "VivitModel"):
        letter, _, patch_size = size.partition("-")
        options = {"patch_size": int(patch_size)} if patch_size else {"num_frames": 4}
        config = getattr(transformers, cls.replace("Model", "Config"))(**SIZES[letter], num_hidden_layers=1, **options)
        return getattr(transformers, cls)(config)
    if timm.is_model(architecture):
        return timm.create_model(architecture, depth=1)
    return one_layer(architecture)


def agree(model: Any, inputs: Any) -> None:
    """With every usual point hooked the output is the native one, and every point fires."""
    with torch.no_grad():
        native = tensors(model.native_call()(**model._inputs(inputs)))
        out, cache = model.run_with_cache(inputs)
    assert distance(tensors(out), native) <= 2e-5
    assert set(cache.keys()) == set(model.select(None))
    added = cache["resid_pre", 0] + cache["attn_out", 0]
    assert (added - cache["resid_mid", 0]).abs().max() <= 1e-5


def words(model: HookedTextEncoder) -> torch.Tensor:
    """Ids of one text, the highest last."""
    native: Any = model.native
    length = getattr(native, "context_length", 77) or 77
    ids = torch.randint(3, 900, (1, min(length, 77)))
    ids[:, -1] = 999
    return ids


@pytest.mark.parametrize("row", [r for r in VISION if r.architecture != "V-JEPA 1"], ids=lambda r: r.architecture)
def test_the_architecture_is_the_native_one(row: Row) -> None:
    native = build(row.architecture).eval()
    vision = HookedViT.from_native(native)
    for name in row.names:
        assert resolve(name).vision == vision.family.name, name
    image = vision.cfg.image_size
    size = (image, image) if isinstance(image, int) else image
    frames = (vision.cfg.n_frames,) if vision.family.frames else ()
    agree(vision, torch.randn(1, *frames, 3, *size))
    if resolve(row.names[0]).text:
        text = HookedTextEncoder.from_native(native)
        for name in row.names:
            assert resolve(name).text == text.family.name, name
        agree(text, words(text))


def test_the_list_is_whole() -> None:
    names = [name for row in VISION for name in row.names]
    assert (len(names), len(set(names)), len(TEXT)) == (86, 86, 15)
    assert sum(len(row.names) for row in VISION if not row.refused) == 43
    assert set(TEXT) <= set(names)


def test_every_name_resolves() -> None:
    families = {(family.kind, family.name) for family in FAMILIES}
    for name in (name for row in VISION for name in row.names if row.architecture != "V-JEPA 1"):
        for spelling in (name, f"open-clip:{name}") if name.startswith(("laion/", "timm/")) else (name,):
            found = resolve(spelling)
            assert ("vision", found.vision) in families, spelling
            assert found.path == CORRECTIONS.get(name, name)
    for name in TEXT:
        assert ("text", resolve(name).text) in families
    with pytest.raises(UnsupportedError, match="facebook/vjepa2"):
        resolve("vjepa_v1_vit_huge")


def test_names_belong_to_the_architectures_that_open_clip_says() -> None:
    known: dict[str, set[str]] = {}
    for architecture, tag in open_clip.list_pretrained():
        hub = open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "").rstrip("/")
        known.setdefault(hub, set()).add(architecture)
    rows = {CORRECTIONS.get(name, name): row.architecture for row in VISION for name in row.names}
    listed = {name: architecture for name, architecture in rows.items() if name in known}
    assert len(listed) > 60
    for name, architecture in listed.items():
        assert architecture in known[name]
