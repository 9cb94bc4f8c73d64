"""Every family, written out. A new one is one file of data and one line here; `check_family` tests it."""

from vitreous.hooked.families.aimv2 import AIMV2_TEXT, AIMV2_VISION
from vitreous.hooked.families.bart import BART_DECODER
from vitreous.hooked.families.beit import BEIT, DATA2VEC
from vitreous.hooked.families.bert_kin import ALTCLIP_TEXT, BLIP_TEXT, CHINESE_CLIP_TEXT
from vitreous.hooked.families.blip import BLIP_VISION
from vitreous.hooked.families.clip import CLIP_TEXT, CLIP_VISION
from vitreous.hooked.families.clip_kin import ALTCLIP_VISION, CHINESE_CLIP_VISION, METACLIP2_TEXT, METACLIP2_VISION
from vitreous.hooked.families.deit import DEIT
from vitreous.hooked.families.dinov2 import DINOV2, DINOV2_REGISTERS
from vitreous.hooked.families.dinov3 import DINOV3
from vitreous.hooked.families.flava import FLAVA_TEXT, FLAVA_VISION
from vitreous.hooked.families.fusion import FLAVA_FUSION, VILT
from vitreous.hooked.families.hiera import HIERA
from vitreous.hooked.families.internvl import INTERNVL_VISION
from vitreous.hooked.families.llama import COHERE, GEMMA, LLAMA, QWEN3_VL
from vitreous.hooked.families.open_clip import OPEN_CLIP_CUSTOM_TEXT, OPEN_CLIP_TEXT, OPEN_CLIP_VISION
from vitreous.hooked.families.open_clip_text import OPEN_CLIP_ROBERTA
from vitreous.hooked.families.opt import OPT
from vitreous.hooked.families.pixtral import PIXTRAL
from vitreous.hooked.families.qwen_visual import QWEN2_VISUAL, QWEN3_VISUAL, QWEN25_VISUAL
from vitreous.hooked.families.sam import SAM
from vitreous.hooked.families.siglip import SIGLIP_TEXT, SIGLIP_VISION
from vitreous.hooked.families.siglip2 import SIGLIP2_TEXT, SIGLIP2_VISION
from vitreous.hooked.families.swin import SWIN, SWINV2
from vitreous.hooked.families.timm_eva import TIMM_BEIT, TIMM_EVA, TIMM_EVA_AFTER_NORM
from vitreous.hooked.families.timm_vit import TIMM_DEIT, TIMM_VIT, TIMM_VIT_AFTER_NORM
from vitreous.hooked.families.video import TIMESFORMER, VIDEOMAE, VIVIT, VJEPA2
from vitreous.hooked.families.vit import VIT
from vitreous.hooked.families.vit_kin import IJEPA, MAE, MSN
from vitreous.hooked.families.vlm import CONNECTORS, TOWERS, VLM_FAMILIES
from vitreous.hooked.families.vlm.idefics import IDEFICS_VISION
from vitreous.hooked.family import Family

FAMILIES: tuple[Family, ...] = (
    CLIP_VISION,
    CLIP_TEXT,
    SIGLIP_VISION,
    SIGLIP_TEXT,
    SIGLIP2_VISION,
    SIGLIP2_TEXT,
    VIT,
    DEIT,
    DINOV2,
    DINOV2_REGISTERS,
    DINOV3,
    BEIT,
    DATA2VEC,
    MSN,
    IJEPA,
    MAE,
    AIMV2_VISION,
    AIMV2_TEXT,
    METACLIP2_VISION,
    METACLIP2_TEXT,
    CHINESE_CLIP_VISION,
    CHINESE_CLIP_TEXT,
    ALTCLIP_VISION,
    LLAMA,
    GEMMA,
    COHERE,
    QWEN3_VL,
    PIXTRAL,
    INTERNVL_VISION,
    IDEFICS_VISION,
    QWEN2_VISUAL,
    QWEN25_VISUAL,
    QWEN3_VISUAL,
    OPT,
    BART_DECODER,
    *CONNECTORS,
    *TOWERS,
    ALTCLIP_TEXT,
    BLIP_VISION,
    BLIP_TEXT,
    FLAVA_VISION,
    FLAVA_TEXT,
    FLAVA_FUSION,
    VILT,
    VJEPA2,
    VIDEOMAE,
    VIVIT,
    TIMESFORMER,
    SWIN,
    SWINV2,
    HIERA,
    SAM,
    TIMM_VIT,
    TIMM_DEIT,
    TIMM_VIT_AFTER_NORM,
    TIMM_EVA,
    TIMM_EVA_AFTER_NORM,
    TIMM_BEIT,
    OPEN_CLIP_VISION,
    OPEN_CLIP_TEXT,
    OPEN_CLIP_CUSTOM_TEXT,
    OPEN_CLIP_ROBERTA,
)

__all__ = ["FAMILIES", "VLM_FAMILIES"]
