"""Models with ViT's blocks under other class names: MSN, I-JEPA (no CLS) and MAE (which drops patches)."""

from dataclasses import replace

from vitreous.hooked.families.vit import CLASSIFIER, POOLER, VIT, VIT_BLOCK
from vitreous.hooked.family import Entry, Stack
from vitreous.hooked.site import Norm, Out, Parameter

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

_DECODER = Stack(
    name="decoder",
    base="decoder",
    layers="decoder_layers",
    block=VIT_BLOCK,
    embed={"hook_embed": Out("decoder_embed"), "hook_pos_embed": Parameter("", "decoder_pos_embed")},
    head={"ln_final": Norm("decoder_norm"), "hook_out": Out("decoder_pred")},
)

MAE = replace(
    VIT,
    name="mae",
    classes={
        "ViTMAEModel": Entry(),
        "ViTMAEForPreTraining": Entry(
            "vit",
            stacks=(_DECODER,),
        ),
    },
    noise="noise",
    example=("facebook/vit-mae-base",),
)
