"""open_clip's text towers that come from transformers: RoBERTa and XLM-RoBERTa, post-LN, pooled by open_clip."""

from vitreous.hooked.families.bert_kin import bert_embed
from vitreous.hooked.family import POST_LN, Entry, Family, post_ln
from vitreous.hooked.site import Out

OPEN_CLIP_ROBERTA = Family(
    name="open-clip-roberta",
    kind="text",
    classes={"open_clip.CustomTextCLIP": Entry("text.transformer", call="encode_text", argument="text")},
    embed=bert_embed(),
    layers="encoder.layer",
    layer=("RobertaLayer", "XLMRobertaLayer"),
    block=post_ln(),
    sums=POST_LN,
    head={"pool.hook_out": Out("/text.pooler"), "hook_post_proj": Out("/text")},
    padding="max_length",
    example=("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k", "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"),
)
