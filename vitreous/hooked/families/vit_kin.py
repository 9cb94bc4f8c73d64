"""Models with ViT's blocks under other class names: MSN, I-JEPA (no CLS) and MAE (which drops patches)."""

from dataclasses import replace

from vitreous.hooked.families.vit import CLASSIFIER, POOLER, VIT
from vitreous.hooked.family import Entry
from vitreous.hooked.site import Norm, Out

MSN = replace(
    VIT,
    name="msn",
    classes={"ViTMSNModel": Entry(), "ViTMSNForImageClassification": Entry("vit", head=CLASSIFIER)},
    example=("facebook/vit-msn-base",),
)

IJEPA = replace(
    VIT,
    name="ijepa",
    classes={"IJepaModel": Entry(head=POOLER), "IJepaForImageClassification": Entry("ijepa", head=CLASSIFIER)},
    special=(),
    example=("facebook/ijepa_vith14_1k",),
)

MAE = replace(
    VIT,
    name="mae",
    classes={
        "ViTMAEModel": Entry(),
        "ViTMAEForPreTraining": Entry(
            "vit",
            head={
                "decoder.hook_embed": Out("/decoder.decoder_embed"),
                "decoder.ln_final": Norm("/decoder.decoder_norm"),
                "decoder.hook_out": Out("/decoder.decoder_pred"),
            },
        ),
    },
    noise="noise",
    example=("facebook/vit-mae-base",),
)
