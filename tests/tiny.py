"""One tiny random model per family and class, built offline in milliseconds.

Weights are redrawn with a standard deviation of 0.2: with the usual 0.02 a wrong mask, pattern or norm hardly moves the
output, and a comparison passes for no reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

SIZE, PATCH = 32, 8
SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
IMAGE = {"image_size": SIZE, "patch_size": PATCH}
WORDS = {
    "vocab_size": 120,
    "max_position_embeddings": 16,
    "bos_token_id": 1,
    "eos_token_id": 119,
    "pad_token_id": 0,
}


@dataclass(frozen=True)
class Tiny:
    """How to build one native model, and what it takes.

    Attributes:
        cls: native class.
        config: builds its configuration.
        kind: which tower is meant.
        note: what sets this one apart, for the test's name.
        given: builds the inputs, where pixels or token ids alone do not do.
        frames: of a clip (video).
    """

    cls: str
    config: Callable[[], Any]
    kind: str = "vision"
    note: str = ""
    given: Callable[[], Any] | None = None
    frames: int = 0

    @property
    def id(self) -> str:
        """Name of the test."""
        return "-".join(filter(None, (self.cls, self.kind, self.note)))

    def native(self, seed: int = 0) -> nn.Module:
        """The model, in evaluation mode, with redrawn weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return redraw(getattr(transformers, self.cls)(self.config()).eval(), seed)

    def inputs(self, seed: int = 0, batch: int = 2) -> Any:
        """Pixels, or token ids with one padded row."""
        if self.given is not None:
            return self.given()
        if self.kind == "text":
            return ids(self.cls, batch)
        return pixels(seed, batch) if not self.frames else clip(self.frames, seed, batch)


def redraw(native: nn.Module, seed: int = 0) -> nn.Module:
    """New weights: matrices with a standard deviation of 0.2, everything else jittered."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in native.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            closed = parameter.numel() == 1 and "gate" in name  # gates begin at 0, and hide what they gate
            parameter.copy_(noise if parameter.dim() >= 2 else parameter + noise + 0.5 * closed)
    return native


def pixels(seed: int = 0, batch: int = 2, size: int = SIZE) -> Tensor:
    """Random normalised pixels."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def clip(frames: int, seed: int = 0, batch: int = 2, size: int = 16) -> Tensor:
    """Random normalised frames."""
    return pixels(seed, batch * frames, size).unflatten(0, (batch, frames))


def ids(cls: str, batch: int = 2) -> dict[str, Tensor]:
    """Token ids; the last row is padded, and SigLIP gets its full length without a mask."""
    length = 16 if "iglip" in cls else 7
    rows = torch.randint(3, 118, (batch, length), generator=torch.Generator().manual_seed(1))
    rows[:, 0], rows[:, -1] = 1, 119
    if "iglip" in cls:
        return {"input_ids": rows}
    rows[-1, -3:] = torch.tensor([119, 0, 0])
    return {"input_ids": rows, "attention_mask": (rows != 0).long()}


def vision(name: str, **options: Any) -> Callable[[], Any]:
    """A vision configuration."""
    return lambda: getattr(transformers, name)(**SHAPE, **IMAGE, **options)


def video(name: str, **options: Any) -> Callable[[], Any]:
    """A video configuration, of small frames."""
    return lambda: getattr(transformers, name)(**SHAPE, **{"image_size": 16, "patch_size": PATCH, **options})


def staged(name: str, **options: Any) -> Callable[[], Any]:
    """A configuration of two stages of different width."""
    sizes = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "mlp_ratio": 2.0, **IMAGE, "patch_size": 4}
    return lambda: getattr(transformers, name)(**{**sizes, **options})


def text(name: str, **options: Any) -> Callable[[], Any]:
    """A text configuration."""
    return lambda: getattr(transformers, name)(**SHAPE, **WORDS, **options)


def dual(name: str, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **options: Any) -> Any:
    """A configuration with two towers."""
    towers = {
        "vision_config": {**SHAPE, **IMAGE, **(vision or {})},
        "text_config": {**SHAPE, **WORDS, **(text or {})},
    }
    return lambda: getattr(transformers, name)(**towers, **options)


_CLIP = dual("CLIPConfig", projection_dim=16)
_CLIP_CLASSES = dual("CLIPConfig", projection_dim=16, num_labels=5)
_SIGLIP = dual("SiglipConfig", text={"projection_size": 32})
_SIGLIP2 = dual("Siglip2Config", {"num_patches": 16}, {"projection_size": 32})
_METACLIP2 = dual("MetaClip2Config", projection_dim=16)
_AIMV2 = dual("Aimv2Config", {"use_head": True}, projection_dim=16)
_BLIP = dual("BlipConfig", projection_dim=16)
_DINO = {"mlp_ratio": 2}
_BEIT = {"layer_scale_init_value": 0.3, "use_relative_position_bias": True, "use_absolute_position_embeddings": True}
_JEPA = {
    "crop_size": 16,
    "frames_per_clip": 4,
    "mlp_ratio": 2,
    "num_pooler_layers": 1,
    "pred_hidden_size": 16,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1,
    "pred_num_mask_tokens": 2,
}
_HIERA = {
    "image_size": [32, 32],
    "patch_size": [7, 7],
    "num_query_pool": 1,
    "masked_unit_size": [4, 4],
    "masked_unit_attention": [True, False],
}
_SAM = {"output_channels": 16, "window_size": 3, "global_attn_indexes": [1], "mlp_dim": 64, "num_pos_feats": 8}
_DECODER = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}


def _flava() -> Any:
    return transformers.FlavaConfig(
        image_config={**SHAPE, **IMAGE},
        text_config={**SHAPE, **WORDS},
        multimodal_config=dict(SHAPE),
        projection_dim=16,
    )


def _vilt() -> Any:
    return transformers.ViltConfig(**SHAPE, **IMAGE, **WORDS, num_labels=5)


def both() -> dict[str, Tensor]:
    """Pixels and token ids."""
    return {**ids(""), "pixel_values": pixels()}


def hidden() -> Tensor:
    """Hidden states."""
    return torch.randn(2, 9, SHAPE["hidden_size"], generator=torch.Generator().manual_seed(0))


def _sam() -> Any:
    return transformers.SamConfig(
        vision_config={**SHAPE, **IMAGE, **_SAM},
        prompt_encoder_config={**IMAGE, "hidden_size": 16},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
    )


def _siglip2_vision() -> Any:
    return transformers.Siglip2VisionConfig(**SHAPE, num_patches=16, patch_size=PATCH)


TINY: tuple[Tiny, ...] = (
    Tiny("CLIPModel", _CLIP),
    Tiny("CLIPVisionModel", vision("CLIPVisionConfig")),
    Tiny("CLIPVisionModelWithProjection", vision("CLIPVisionConfig", projection_dim=16)),
    Tiny("CLIPForImageClassification", _CLIP_CLASSES),
    Tiny("CLIPModel", _CLIP, "text"),
    Tiny("CLIPTextModel", text("CLIPTextConfig"), "text"),
    Tiny("CLIPTextModelWithProjection", text("CLIPTextConfig", projection_dim=16), "text"),
    Tiny("SiglipModel", _SIGLIP),
    Tiny("SiglipVisionModel", vision("SiglipVisionConfig")),
    Tiny("SiglipVisionModel", vision("SiglipVisionConfig", vision_use_head=False), note="no-head"),
    Tiny("SiglipForImageClassification", dual("SiglipConfig", num_labels=5)),
    Tiny("SiglipModel", _SIGLIP, "text"),
    Tiny("SiglipTextModel", text("SiglipTextConfig", projection_size=24), "text"),
    Tiny("ViTModel", vision("ViTConfig")),
    Tiny("ViTForImageClassification", vision("ViTConfig", num_labels=5)),
    Tiny("DeiTModel", vision("DeiTConfig")),
    Tiny("DeiTForImageClassification", vision("DeiTConfig", num_labels=5)),
    Tiny("DeiTForImageClassificationWithTeacher", vision("DeiTConfig", num_labels=5)),
    Tiny("Dinov2Model", vision("Dinov2Config", **_DINO)),
    Tiny("Dinov2Model", vision("Dinov2Config", use_swiglu_ffn=True, **_DINO), note="swiglu"),
    Tiny("Dinov2ForImageClassification", vision("Dinov2Config", num_labels=5, **_DINO)),
    Tiny("Dinov2WithRegistersModel", vision("Dinov2WithRegistersConfig", num_register_tokens=3, **_DINO)),
    Tiny(
        "Dinov2WithRegistersModel",
        vision("Dinov2WithRegistersConfig", use_swiglu_ffn=True, **_DINO),
        note="swiglu",
    ),
    Tiny("Dinov2WithRegistersForImageClassification", vision("Dinov2WithRegistersConfig", num_labels=5, **_DINO)),
    Tiny("Siglip2Model", _SIGLIP2),
    Tiny("Siglip2VisionModel", _siglip2_vision),
    Tiny("Siglip2ForImageClassification", dual("Siglip2Config", {"num_patches": 16}, num_labels=5)),
    Tiny("Siglip2Model", _SIGLIP2, "text"),
    Tiny("Siglip2TextModel", text("Siglip2TextConfig", projection_size=24), "text"),
    Tiny("DINOv3ViTModel", vision("DINOv3ViTConfig", num_register_tokens=3)),
    Tiny("DINOv3ViTModel", vision("DINOv3ViTConfig", num_register_tokens=0, use_gated_mlp=True), note="gated"),
    Tiny("BeitModel", vision("BeitConfig", **_BEIT)),
    Tiny("BeitModel", vision("BeitConfig", use_mean_pooling=False, layer_scale_init_value=0), note="plain"),
    Tiny("BeitForImageClassification", vision("BeitConfig", num_labels=5, **_BEIT)),
    Tiny("Data2VecVisionModel", vision("Data2VecVisionConfig", **_BEIT)),
    Tiny("Data2VecVisionForImageClassification", vision("Data2VecVisionConfig", num_labels=5, **_BEIT)),
    Tiny("ViTMSNModel", vision("ViTMSNConfig")),
    Tiny("ViTMSNForImageClassification", vision("ViTMSNConfig", num_labels=5)),
    Tiny("IJepaModel", vision("IJepaConfig")),
    Tiny("IJepaForImageClassification", vision("IJepaConfig", num_labels=5)),
    Tiny("ViTMAEModel", vision("ViTMAEConfig", mask_ratio=0.5)),
    Tiny("ViTMAEForPreTraining", vision("ViTMAEConfig", mask_ratio=0.5, **_DECODER)),
    Tiny("Aimv2Model", _AIMV2),
    Tiny("Aimv2VisionModel", vision("Aimv2VisionConfig", use_head=True)),
    Tiny("Aimv2VisionModel", vision("Aimv2VisionConfig", use_head=False, is_native=True), note="native"),
    Tiny("Aimv2Model", _AIMV2, "text"),
    Tiny("Aimv2TextModel", text("Aimv2TextConfig"), "text"),
    Tiny("MetaClip2Model", _METACLIP2),
    Tiny("MetaClip2VisionModel", vision("MetaClip2VisionConfig")),
    Tiny("MetaClip2VisionModelWithProjection", vision("MetaClip2VisionConfig", projection_dim=16)),
    Tiny("MetaClip2Model", _METACLIP2, "text"),
    Tiny("MetaClip2TextModel", text("MetaClip2TextConfig"), "text"),
    Tiny("MetaClip2TextModelWithProjection", text("MetaClip2TextConfig", projection_dim=16), "text"),
    Tiny("ChineseCLIPModel", dual("ChineseCLIPConfig", projection_dim=16)),
    Tiny("ChineseCLIPVisionModel", vision("ChineseCLIPVisionConfig")),
    Tiny("ChineseCLIPModel", dual("ChineseCLIPConfig", projection_dim=16), "text"),
    Tiny("ChineseCLIPTextModel", text("ChineseCLIPTextConfig"), "text"),
    Tiny("AltCLIPModel", dual("AltCLIPConfig", text={"project_dim": 16}, projection_dim=16)),
    Tiny("AltCLIPVisionModel", vision("AltCLIPVisionConfig")),
    Tiny("AltCLIPModel", dual("AltCLIPConfig", text={"project_dim": 16}, projection_dim=16), "text"),
    Tiny("AltCLIPTextModel", text("AltCLIPTextConfig", project_dim=16), "text"),
    Tiny("BlipModel", _BLIP),
    Tiny("BlipVisionModel", vision("BlipVisionConfig")),
    Tiny("BlipModel", _BLIP, "text"),
    Tiny("BlipTextModel", text("BlipTextConfig"), "text"),
    Tiny("FlavaModel", _flava),
    Tiny("FlavaImageModel", vision("FlavaImageConfig")),
    Tiny("FlavaModel", _flava, "text"),
    Tiny("FlavaModel", _flava, "fusion", given=both),
    Tiny("FlavaMultimodalModel", lambda: transformers.FlavaMultimodalConfig(**SHAPE), "fusion", given=hidden),
    Tiny("ViltModel", _vilt, "fusion", given=both),
    Tiny("ViltForQuestionAnswering", _vilt, "fusion", given=both),
    Tiny("ViltForImageAndTextRetrieval", _vilt, "fusion", given=both),
    Tiny("FlavaTextModel", text("FlavaTextConfig"), "text"),
    Tiny("SwinModel", staged("SwinConfig", window_size=2)),
    Tiny("SwinModel", staged("SwinConfig", window_size=3, use_absolute_embeddings=True), note="padded"),
    Tiny("SwinForImageClassification", staged("SwinConfig", window_size=2, num_labels=5)),
    Tiny("Swinv2Model", staged("Swinv2Config", window_size=2)),
    Tiny("Swinv2Model", staged("Swinv2Config", window_size=3), note="padded"),
    Tiny("Swinv2ForImageClassification", staged("Swinv2Config", window_size=2, num_labels=5)),
    Tiny("HieraModel", staged("HieraConfig", **_HIERA)),
    Tiny("HieraForImageClassification", staged("HieraConfig", num_labels=5, **_HIERA)),
    Tiny("SamModel", _sam),
    Tiny("SamVisionModel", vision("SamVisionConfig", **_SAM)),
    Tiny("SamVisionModel", vision("SamVisionConfig", attn_implementation="eager", **_SAM), note="eager"),
    Tiny("VJEPA2Model", video("VJEPA2Config", **_JEPA), frames=4),
    Tiny("VJEPA2ForVideoClassification", video("VJEPA2Config", num_labels=5, **_JEPA), frames=4),
    Tiny("VideoMAEModel", video("VideoMAEConfig", num_frames=4), frames=4),
    Tiny("VideoMAEModel", video("VideoMAEConfig", num_frames=4, use_mean_pooling=False), frames=4, note="cls"),
    Tiny("VideoMAEForVideoClassification", video("VideoMAEConfig", num_frames=4, num_labels=5), frames=4),
    Tiny("VivitModel", video("VivitConfig", num_frames=4, tubelet_size=[2, 8, 8]), frames=4),
    Tiny(
        "VivitForVideoClassification",
        video("VivitConfig", num_frames=4, tubelet_size=[2, 8, 8], num_labels=5),
        frames=4,
    ),
    Tiny("TimesformerModel", video("TimesformerConfig", num_frames=3), frames=3),
    Tiny("TimesformerForVideoClassification", video("TimesformerConfig", num_frames=3, num_labels=5), frames=3),
)
