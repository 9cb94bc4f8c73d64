"""The models that ViT-Prisma lists, all 86 vision and 15 text names, with the architecture that each one is.

Data of this project's reference (coverage to match), expanded. `refused` marks what ViT-Prisma itself fails on or has
never tested.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Names of one architecture.

    Attributes:
        architecture: of open_clip or timm, or a class of transformers.
        names: as ViT-Prisma spells them.
        refused: whether ViT-Prisma fails on them or has not tested them.
    """

    architecture: str
    names: tuple[str, ...]
    refused: bool = False


def _join(stem: str, ends: str) -> tuple[str, ...]:
    return tuple(stem + end for end in ends.split())


_B16, _B32 = "laion/CLIP-ViT-B-16-", "laion/CLIP-ViT-B-32-"
_L14, _COCA = "laion/CLIP-ViT-L-14-", "laion/CoCa-ViT-"
_T16, _T32 = "timm/vit_base_patch16_clip_224.", "timm/vit_base_patch32_clip_224."
_TL = "timm/vit_large_patch14_clip_224."
_OPENAI = "metaclip_2pt5b metaclip_400m openai"
_SMALL = "S-s13M-b4K S.basic-s13M-b4K S.clip-s13M-b4K S.image-s13M-b4K S.laion-s13M-b4K S.text-s13M-b4K"
_MEDIUM = _SMALL.replace("S.", "M.").replace("S-", "M-").replace("s13M", "s128M")
_LARGE = _SMALL.replace("S.", "L.").replace("S-", "L-").replace("s13M-b4K", "s1B-b8K")

VISION: tuple[Row, ...] = (
    Row(
        "ViT-B-16",
        _join(f"{_B16}CommonPool.", _LARGE)
        + _join(_B16, "DataComp.L-s1B-b8K DataComp.XL-s13B-b90K laion2B-s34B-b88K")
        + _join(_T16, "laion400m_e31 laion400m_e32"),
    ),
    Row(
        "ViT-B-32",
        _join(f"{_B32}CommonPool.", f"{_MEDIUM} {_SMALL}")
        + _join(_B32, "DataComp.M-s128M-b4K DataComp.S-s13M-b4K DataComp.XL-s13B-b90K laion2B-s34B-b79K")
        + _join(_T32, "laion2b_e16"),
    ),
    Row(
        "ViT-L-14",
        _join(f"{_L14}CommonPool.XL", "-s13B-b90K .clip-s13B-b90K .laion-s13B-b90K")
        + _join(_L14, "DataComp.XL-s13B-b90K laion2B-s32B-b82K")
        + _join(_TL, "laion400m_e31 laion400m_e32"),
    ),
    Row("ViT-H-14", ("laion/CLIP-ViT-H-14-laion2B-s32B-b79K",)),
    Row("ViT-bigG-14", ("laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",)),
    Row("ViT-g-14", ("laion/CLIP-ViT-g-14-laion2B-s34B-b88K",), refused=True),
    Row("ViT-B-16-quickgelu", _join(_T16, _OPENAI), refused=True),
    Row("ViT-B-32-quickgelu", _join(_T32, f"laion400m_e31 laion400m_e32 {_OPENAI}"), refused=True),
    Row("ViT-L-14-quickgelu", _join(_TL, _OPENAI), refused=True),
    Row("ViT-L-14-336-quickgelu", ("timm/vit_large_patch14_clip_336.openai",), refused=True),
    Row("ViT-H-14-quickgelu", ("timm/vit_huge_patch14_clip_224.metaclip_2pt5b",), refused=True),
    Row("ViT-bigG-14-quickgelu", ("timm/vit_gigantic_patch14_clip_224.metaclip_2pt5b",), refused=True),
    Row("ViT-B-32-256", (f"{_B32}256x256-DataComp-s34B-b86K",), refused=True),
    Row(
        "ViT-B-16-plus-240",
        _join("timm/vit_base_patch16_plus_clip_240.", "laion400m_e31 laion400m_e32"),
        refused=True,
    ),
    Row("roberta-ViT-B-32", (f"{_B32}roberta-base-laion2B-s12B-b32k",), refused=True),
    Row("xlm-roberta-base-ViT-B-32", (f"{_B32}xlm-roberta-base-laion5B-s13B-b90k",), refused=True),
    Row(
        "xlm-roberta-large-ViT-H-14",
        ("laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k",),
        refused=True,
    ),
    Row("TinyCLIP-39M-16", ("timm/vit_medium_patch16_clip_224.tinyclip_yfcc15m",), refused=True),
    Row("TinyCLIP-40M-32", ("timm/vit_medium_patch32_clip_224.tinyclip_laion400m",), refused=True),
    Row("TinyCLIP-8M-16", ("timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m",), refused=True),
    Row("TinyCLIP-61M-32", ("timm/vit_betwixt_patch32_clip_224.tinyclip_laion400m",), refused=True),
    Row("coca_ViT-B-32", (f"{_COCA}B-32-laion2B-s13B-b90k",), refused=True),
    Row("coca_ViT-L-14", (f"{_COCA}L-14-laion2B-s13B-b90k",), refused=True),
    Row("EVA02-E-14", ("timm/eva02_enormous_patch14_clip_224.laion2b_s4b_b115k",), refused=True),
    Row("EVA02-E-14-plus", ("timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144",), refused=True),
    Row("EVA02-L-14", ("timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k",), refused=True),
    Row("EVA02-L-14-336", ("timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k",), refused=True),
    Row("EVA02-B-16", ("timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k",), refused=True),
    Row("EVA01-g-14", ("timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k",), refused=True),
    Row("EVA01-g-14-plus", ("timm/eva_giant_patch14_plus_clip_224.merged2b_s11b_b114k",), refused=True),
    Row("CLIPModel/B-32", ("openai/clip-vit-base-patch32",)),
    Row("CLIPModel/L-14", ("openai/clip-vit-large-patch14",)),
    Row("CLIPModel/L-14-336", ("openai/clip-vit-large-patch14-336",)),
    Row("CLIPModel/Tiny", ("wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M",)),
    Row("CLIPModel/B-16", ("openai/clip-vit-base-patch16",), refused=True),
    Row("ViTModel/B-16", ("facebook/dino-vitb16",)),
    Row("ViTModel/B-8", ("facebook/dino-vitb8",)),
    Row("ViTModel/S-16", ("facebook/dino-vits16",), refused=True),
    Row("ViTModel/S-8", ("facebook/dino-vits8",), refused=True),
    Row("vit_base_patch16_224", ("vit_base_patch16_224",), refused=True),
    Row("vit_base_patch32_224", ("vit_base_patch32_224",), refused=True),
    Row("vit_large_patch16_224", ("vit_large_patch16_224",), refused=True),
    Row("VivitModel/B", ("google/vivit-b-16x2-kinetics400",), refused=True),
    Row("VivitModel/L", ("google/vivit-l-16x2-kinetics400",), refused=True),
    Row("V-JEPA 1", ("vjepa_v1_vit_huge",), refused=True),
)
TEXT: tuple[str, ...] = (
    *_join(f"{_B16}CommonPool.L", "-s1B-b8K .basic-s1B-b8K .clip-s1B-b8K .laion-s1B-b8K"),
    *_join(_B32, "CommonPool.M-s128M-b4K CommonPool.S-s13M-b4K DataComp.XL-s13B-b90K laion2B-s34B-b79K"),
    *_join(_L14, "CommonPool.XL-s13B-b90K DataComp.XL-s13B-b90K"),
    *_join(_B32, "roberta-base-laion2B-s12B-b32k xlm-roberta-base-laion5B-s13B-b90k"),
    "laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k",
    *_join(_COCA, "B-32-laion2B-s13B-b90k L-14-laion2B-s13B-b90k"),
)

TINY_CLIP: dict[str, dict[str, dict[str, int]]] = {
    "TinyCLIP-39M-16": {"vision": {"width": 512, "layers": 12, "patch_size": 16}, "text": {"width": 512, "layers": 6}},
    "TinyCLIP-40M-32": {"vision": {"width": 512, "layers": 12, "patch_size": 32}, "text": {"width": 512, "layers": 6}},
    "TinyCLIP-8M-16": {"vision": {"width": 256, "layers": 10, "patch_size": 16}, "text": {"width": 256, "layers": 3}},
    "TinyCLIP-61M-32": {"vision": {"width": 640, "layers": 12, "patch_size": 32}, "text": {"width": 640, "layers": 9}},
}
"""Sizes of TinyCLIP (Wu et al. 2023), whose configurations open_clip reads from the hub; heads are 64 wide."""
