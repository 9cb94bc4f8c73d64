"""One tiny random open_clip model per class and tower."""

import copy
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import timm
import torch
from open_clip import hf_model, timm_model
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from torch import Tensor, nn
from transformers import RobertaConfig, XLMRobertaConfig

from tests.tiny import PATCH, SIZE, pixels, redraw

CLASSES = {"CLIP": CLIP, "CustomTextCLIP": CustomTextCLIP, "CoCa": CoCa}
VISION = {"layers": 2, "width": 32, "head_width": 8, "mlp_ratio": 2.0, "patch_size": PATCH, "image_size": SIZE}
TEXT = {"context_length": 9, "vocab_size": 120, "width": 32, "heads": 4, "layers": 2, "mlp_ratio": 2.0}
TRUNK = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0}


@dataclass(frozen=True)
class Tiny:
    """How to build one open_clip model.

    Attributes:
        cls: native class.
        kind: which tower is meant.
        note: what sets this one apart.
        vision: options of the vision tower beside `VISION`; with a timm model, those beside its name are ignored.
        text: options of the text tower beside `TEXT`.
        options: options of the model.
        trunk: options of a timm model beside `TRUNK`.
        encoder: the configuration of transformers' text encoder, which open_clip would ask the hub for.
        part: the tower alone, if not the whole model is meant.
    """

    cls: str
    kind: str = "vision"
    note: str = ""
    vision: dict[str, Any] = field(default_factory=dict)
    text: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    trunk: dict[str, Any] = field(default_factory=dict)
    encoder: Any = None
    part: str = ""

    @property
    def id(self) -> str:
        """Name of the test."""
        return "-".join(filter(None, (self.cls, self.kind, self.note, self.part)))

    def native(self, seed: int = 0) -> nn.Module:
        """The model, in evaluation mode, with redrawn weights."""
        towers = {"vision_cfg": VISION | self.vision, "text_cfg": TEXT | self.text}
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            torch.manual_seed(seed)
            if self.trunk:
                small = partial(timm.create_model, **TRUNK, **self.trunk)
                stack.enter_context(patch.object(timm_model.timm, "create_model", small))
            if self.encoder:
                stack.enter_context(patch.object(hf_model.AutoConfig, "from_pretrained", lambda _: self.encoder))
            model = CLASSES[self.cls](16, **towers, **copy.deepcopy(self.options))
        model = redraw(model.eval(), seed)
        return getattr(model, self.part) if self.part else model

    def inputs(self, batch: int = 2) -> Any:
        """Pixels, or token ids: padded with zeros, the highest id last."""
        if self.kind == "vision":
            return pixels(batch=batch)
        rows = ids(8 if self.text.get("embed_cls") else 9, batch)
        return rows if self.encoder is None else rows.where(rows > 0, self.encoder.pad_token_id)


def ids(length: int = 9, batch: int = 2) -> Tensor:
    """Token ids as open_clip's tokenizer makes them: start, words, end, zeros."""
    rows = torch.randint(3, 110, (batch, length), generator=torch.Generator().manual_seed(1))
    rows[:, 0], rows[0, -1] = 118, 119
    rows[1:, -3:] = torch.tensor([119, 0, 0])
    return rows


SIGLIP = {
    "vision": {"timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map", "timm_proj": "none"},
    "text": {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    "options": {"init_logit_bias": -10.0},
    "trunk": {"class_token": False},
}
EVA = {
    "vision": {"timm_model_name": "eva02_base_patch16_clip_224", "timm_pool": "token", "timm_proj": ""},
    "trunk": {"ref_feat_shape": (4, 4)},
}
COCA = {
    "vision": {"attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 5, "output_tokens": True},
    "text": {"context_length": 8, "embed_cls": True, "output_tokens": True},
    "options": {"multimodal_cfg": {"context_length": 8, "width": 16, "heads": 4, "layers": 1, "vocab_size": 120}},
}
WORDS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
WORDS |= {"vocab_size": 120, "max_position_embeddings": 20}
ROBERTA = {"encoder": RobertaConfig(**WORDS), "text": {"hf_model_name": "roberta-base", "hf_model_pretrained": False}}
XLM_ROBERTA = ROBERTA | {"encoder": XLMRobertaConfig(**WORDS)}
TINY: tuple[Tiny, ...] = (
    Tiny("CLIP"),
    Tiny("CLIP", note="quickgelu", options={"quick_gelu": True}),
    Tiny("CLIP", note="layerscale", vision={"ls_init_value": 0.3, "no_ln_pre": True, "pool_type": "avg"}),
    Tiny("CLIP", note="pool-first", vision={"final_ln_after_pool": True}),
    Tiny("CLIP", "text"),
    Tiny("CLIP", "text", "layerscale", text={"ls_init_value": 0.3}),
    Tiny("CLIP", "text", "linear", text={"proj_bias": True}),
    Tiny("CLIP", "text", "unprojected", text={"proj_type": "none"}),
    Tiny("CustomTextCLIP"),
    Tiny("CustomTextCLIP", "text"),
    Tiny("CustomTextCLIP", note="siglip", **SIGLIP),
    Tiny("CustomTextCLIP", "text", "siglip", **SIGLIP),
    Tiny("CustomTextCLIP", note="eva", **EVA),
    Tiny("CustomTextCLIP", "text", "eva", **EVA),
    Tiny("CustomTextCLIP", "text", "roberta", **ROBERTA),
    Tiny("CustomTextCLIP", "text", "xlm-roberta", **XLM_ROBERTA),
    Tiny("CLIP", note="timm", **(SIGLIP | {"text": {}})),
    Tiny("CLIP", part="visual"),
    Tiny("CustomTextCLIP", "text", part="text"),
    Tiny("CoCa", **COCA),
    Tiny("CoCa", "text", **COCA),
)
