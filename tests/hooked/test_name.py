"""Names to libraries and families; nothing is imported or downloaded."""

import pytest

from vitreous.errors import BadInputError, UnsupportedError
from vitreous.hooked import FAMILIES
from vitreous.hooked.name import ARCHITECTURES, RULES, resolve

KNOWN = {
    "timm/vit_base_patch16_224.augreg_in21k_ft_in1k": ("timm", "timm-vit", ""),
    "timm:vit_base_patch16_224.augreg_in21k_ft_in1k": ("timm", "timm-vit", ""),
    "timm/vit_base_patch16_clip_224.openai_ft_in1k": ("timm", "timm-vit", ""),
    "timm:timm/vit_base_patch16_clip_224.openai": ("timm", "", ""),
    "timm/vit_base_patch14_reg4_dinov2.lvd142m": ("timm", "timm-vit", ""),
    "timm/vit_base_patch16_dinov3.lvd1689m": ("timm", "timm-eva", ""),
    "timm/eva02_base_patch14_224.mim_in22k": ("timm", "timm-eva", ""),
    "timm/beitv2_base_patch16_224.in1k_ft_in22k_in1k": ("timm", "timm-beit", ""),
    "timm/deit3_base_patch16_224.fb_in1k": ("timm", "timm-vit", ""),
    "timm/deit_base_distilled_patch16_224.fb_in1k": ("timm", "timm-deit-distilled", ""),
    "timm/vit_base_patch16_siglip_224.webli": ("timm", "timm-vit", ""),
    "timm/ViT-B-16-SigLIP": ("open_clip", "timm-vit", "open-clip-custom-text"),
    "timm/vit_base_patch16_clip_224.laion400m_e31": ("open_clip", "open-clip", "open-clip-text"),
    "open_clip:ViT-B-32/laion2b_s34b_b79k": ("open_clip", "open-clip", "open-clip-text"),
    "open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K": ("open_clip", "open-clip", "open-clip-text"),
    "open_clip:hf-hub:somebody/their-clip": ("open_clip", "", ""),
    "open_clip:EVA02-L-14/merged2b_s4b_b131k": ("open_clip", "timm-eva", "open-clip-custom-text"),
    "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": ("open_clip", "open-clip", "open-clip-roberta"),
    "transformers:laion/CLIP-ViT-B-32-laion2B-s34B-b79K": ("transformers", "", ""),
    "facebook/dino-vitb16": ("transformers", "vit", ""),
    "google/vivit-b-16x2-kinetics400": ("transformers", "vivit", ""),
    "somebody/their-model": ("transformers", "", ""),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_names(name: str) -> None:
    found = resolve(name)
    assert (found.library, found.vision, found.text) == KNOWN[name]
    assert found.name == name


def test_hub_ids_architectures_and_files() -> None:
    assert resolve("open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K").hub
    assert resolve("open_clip:hf-hub:somebody/their-clip").path == "somebody/their-clip"
    plain = resolve("open_clip:ViT-B-32/openai")
    assert (plain.path, plain.tag, plain.hub) == ("ViT-B-32", "openai", False)
    assert resolve("timm:vit_tiny_patch16_224/runs/best.pth").tag == "runs/best.pth"
    assert not resolve("vit_base_patch16_224").hub
    misspelt = resolve("timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144")
    assert misspelt.path.endswith("b144k")


def test_names_that_cannot_be_had() -> None:
    with pytest.raises(UnsupportedError, match="V-JEPA 2 is supported"):
        resolve("vjepa_v1_vit_huge")
    with pytest.raises(BadInputError, match="'keras' is no library; known: transformers"):
        resolve("keras:vit")


def test_the_tables_name_families_that_exist() -> None:
    known = {(family.kind, family.name) for family in FAMILIES}
    for vision, text in [rule[2:] for rule in RULES] + [row[1:] for row in ARCHITECTURES]:
        assert not vision or ("vision", vision) in known
        assert not text or ("text", text) in known


def test_the_examples_of_every_family_resolve_to_it_or_say_nothing() -> None:
    for family in FAMILIES:
        for name in family.example:
            found = resolve(name)
            assert getattr(found, family.kind, "") in ("", family.name), (name, found)
