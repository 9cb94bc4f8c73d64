"""BLIP: a text decoder that reads the image by cross-attention in every layer; no connector, no image tokens."""

from vitreous.hooked.families.bert_kin import bert_embed
from vitreous.hooked.family import POST_LN_CROSS, Entry, Family, VLMFamily, post_ln
from vitreous.hooked.site import Norm, Out

BLIP_DECODER = Family(
    name="blip-decoder",
    kind="language",
    classes={"BlipTextModel": Entry(given={"is_decoder": True})},
    embed=bert_embed(types=False),
    layers="encoder.layer",
    block=post_ln(route="softmax", cross="crossattention.self"),
    sums=POST_LN_CROSS,
)

_HEAD = "text_decoder.cls.predictions"

BLIP = VLMFamily(
    name="blip",
    classes=("BlipForConditionalGeneration",),
    layout="outside",
    vision="vision_model",
    connector="",
    language="text_decoder.bert",
    final=(f"{_HEAD}.transform",),
    unembed=f"{_HEAD}.decoder",
    head={
        "transform.hook_pre": Out(f"/{_HEAD}.transform.dense"),
        "transform.ln": Norm(f"/{_HEAD}.transform.LayerNorm"),
    },
    image_token="",
    once=("language.blocks.*.cross_attn.hook_k", "language.blocks.*.cross_attn.hook_v"),
    inert=("vision.pool.*",),
    example=("Salesforce/blip-image-captioning-base",),
)
"""Of the image tower only the sequence is read, not the pooled CLS; its keys and values are projected once."""
