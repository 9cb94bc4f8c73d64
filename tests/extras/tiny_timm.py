"""One tiny random timm model per family, block, MLP and head that the real checkpoints use."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm.layers as layers
import torch
from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor, nn

from tests.tiny import PATCH, SIZE, pixels, redraw

SHAPE: dict[str, Any] = {
    "img_size": SIZE,
    "patch_size": PATCH,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2.0,
    "num_classes": 5,
}


@dataclass(frozen=True)
class Tiny:
    """How to build one timm model.

    Attributes:
        cls: native class.
        note: what sets this one apart.
        options: arguments of the class beside `SHAPE`.
    """

    cls: Callable[..., nn.Module]
    note: str
    options: dict[str, Any]

    @property
    def id(self) -> str:
        """Name of the test."""
        return f"{self.cls.__name__}-{self.note}"

    def native(self, seed: int = 0) -> nn.Module:
        """The model, in evaluation mode, with redrawn weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return redraw(self.cls(**SHAPE | self.options).eval(), seed)

    def inputs(self, batch: int = 2) -> Tensor:
        """Pixels."""
        return pixels(batch=batch)


def vit(note: str, **options: Any) -> Tiny:
    """A VisionTransformer."""
    return Tiny(VisionTransformer, note, options)


def eva(note: str, **options: Any) -> Tiny:
    """An Eva."""
    return Tiny(Eva, note, options)


RMS = partial(layers.RmsNorm, eps=1e-5)
QUICK = {"act_layer": "quick_gelu", "pre_norm": True}
ROPE = {"use_rot_pos_emb": True}
TINY: tuple[Tiny, ...] = (
    vit("cls"),
    vit("no-head", num_classes=0),
    vit("avg-fc-norm", global_pool="avg"),
    vit("unpooled", global_pool="", num_classes=0),
    vit("deit3", init_values=0.3, no_embed_class=True),
    vit("dinov2-registers", init_values=0.3, reg_tokens=3, no_embed_class=True, num_classes=0),
    vit("swiglu", mlp_layer=layers.SwiGLUPacked, act_layer=nn.SiLU, init_values=0.3),
    vit("glu-last", mlp_layer=layers.GluMlp),
    vit("aimv2", mlp_layer=layers.SwiGLU, norm_layer=RMS, embed_norm_layer=RMS, class_token=False, global_pool="map"),
    vit("clip-quickgelu", norm_layer=nn.LayerNorm, **QUICK),
    vit("siglip", class_token=False, global_pool="map", num_classes=0),
    vit("qk-norm", qk_norm=True, class_token=False, global_pool="avg", fc_norm=False),
    vit("inner-norms", scale_attn_norm=True, scale_mlp_norm=True),
    vit("no-positions", pos_embed="none"),
    vit("dynamic", dynamic_img_size=True),
    vit("norm-after", block_fn=ResPostBlock, class_token=False, global_pool="avg"),
    Tiny(VisionTransformerDistilled, "deit", {}),
    eva("eva", init_values=0.3),
    eva("eva02", swiglu_mlp=True, scale_mlp=True, qkv_fused=False, num_classes=0, **ROPE),
    eva("eva02-clip", swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, qkv_fused=False, **ROPE),
    eva("eva02-tiny", swiglu_mlp=True, **ROPE),
    eva("norm-after", use_post_norm=True, global_pool="token"),
    eva(
        "dinov3",
        init_values=0.3,
        use_abs_pos_emb=False,
        rope_type="dinov3",
        num_reg_tokens=3,
        qkv_bias=False,
        use_fc_norm=False,
        dynamic_img_size=True,
        norm_layer=partial(layers.LayerNorm, eps=1e-5),
        **ROPE,
    ),
    eva(
        "perception-encoder",
        attn_type="rope",
        global_pool="map",
        use_pre_transformer_norm=True,
        use_fc_norm=False,
        use_post_transformer_norm=True,
        **ROPE,
    ),
    Tiny(Beit, "v1", {"init_values": 0.3, "use_abs_pos_emb": True, "use_shared_rel_pos_bias": True}),
    Tiny(Beit, "v2", {"init_values": 0.3, "use_abs_pos_emb": False, "use_rel_pos_bias": True}),
    Tiny(Beit, "swiglu-cls", {"swiglu_mlp": True, "scale_mlp": True, "global_pool": "token"}),
)
