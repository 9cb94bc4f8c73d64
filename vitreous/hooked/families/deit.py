"""DeiT: a ViT with a distillation token, and with one classifier for each of the two tokens (with teacher)."""

from vitreous.hooked.families.vit import CLASSIFIER, NO_POOLER, POOLER, VIT_BLOCK, VIT_EMBED
from vitreous.hooked.family import Entry, Family
from vitreous.hooked.site import In, Norm, Out

DEIT = Family(
    name="deit",
    kind="vision",
    classes={
        "DeiTModel": Entry(head=POOLER, drop=NO_POOLER),
        "DeiTForImageClassification": Entry("deit", head=CLASSIFIER),
        "DeiTForImageClassificationWithTeacher": Entry(
            "deit",
            head={
                "head.hook_in": In("/cls_classifier"),
                "head.hook_out": Out("/cls_classifier"),
                "head_dist.hook_in": In("/distillation_classifier"),
                "head_dist.hook_out": Out("/distillation_classifier"),
            },
        ),
    },
    embed=VIT_EMBED,
    layers="layers",
    block=VIT_BLOCK,
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    special=("cls", "distillation"),
    processor="DeiTImageProcessorPil",
    example=("facebook/deit-base-distilled-patch16-224",),
)
