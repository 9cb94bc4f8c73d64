"""One tiny random open_clip model per class and tower."""

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import timm
import torch
from open_clip import timm_model
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP
from torch import Tensor, nn

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
    """

    cls: str
    kind: str = "vision"
    note: str = ""
    vision: dict[str, Any] = field(default_factory=dict)
    text: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    trunk: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name of the test."""
        return "-".join(filter(None, (self.cls, self.kind, self.note)))

    def native(self, seed: int = 0) -> nn.Module:
        """The model, in evaluation mode, with redrawn weights."""
        options = copy.deepcopy(self.options)
        create = timm.create_model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            timm_model.timm.create_model = partial(create, **TRUNK, **self.trunk) if self.trunk else create
            try:
                model = CLASSES[self.cls](16, vision_cfg=VISION | self.vision, text_cfg=TEXT | self.text, **options)
            finally:
                timm_model.timm.create_model = create
        return redraw(model.eval(), seed)

    def inputs(self, batch: int = 2) -> Any:
        """Pixels, or token ids: padded with zeros, the highest id last."""
        if self.kind == "vision":
            return pixels(batch=batch)
        return ids(8 if self.text.get("embed_cls") else 9, batch)


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
    Tiny("CoCa", **COCA),
    Tiny("CoCa", "text", **COCA),
)
