"""BLIP-2: learnt queries read the image in a Q-Former, whose output is projected into the language model's space."""

from dataclasses import replace

from vitreous.hooked.families.blip import BLIP_VISION
from vitreous.hooked.family import POST_LN_CROSS, Entry, Family, VLMFamily, after, post_ln
from vitreous.hooked.site import Attention, In, Norm, Out

BLIP2_VISION = replace(
    BLIP_VISION,
    name="blip-2",
    classes={"Blip2VisionModel": Entry()},
    block={**BLIP_VISION.block, "attn": Attention("self_attn", out="projection", qkv=("qkv",))},
    example=("Salesforce/blip2-opt-2.7b",),
)

QFORMER = Family(
    name="q-former",
    kind="connector",
    classes={"Blip2QFormerModel": Entry()},
    embed={
        "hook_query": In(""),
        "ln_embed": Norm("layernorm", also="hook_full_embed"),
    },
    layers="encoder.layer",
    block=post_ln(
        attn="attention.attention",
        cross="crossattention.attention",
        pre="intermediate_query.dense",
        post="output_query.dense",
        norm2="output_query.LayerNorm",
    ),
    sums=POST_LN_CROSS,
    head={"hook_out": Out("/language_projection")},
)
"""Only every second layer reads the image: the others have no `cross_attn` and no `ln2`."""

INSTRUCTBLIP_VISION = replace(
    BLIP2_VISION,
    name="instructblip",
    classes={"InstructBlipVisionModel": Entry()},
    example=("Salesforce/instructblip-vicuna-7b",),
)

INSTRUCT_QFORMER = replace(
    QFORMER,
    name="instruct-q-former",
    classes={"InstructBlipQFormerModel": Entry()},
    embed={
        "hook_query": In(""),
        "hook_embed": Out("embeddings.word_embeddings"),
        "hook_pos_embed": Out("embeddings.position_embeddings"),
        "ln_embed": Norm("embeddings.layernorm", also="hook_full_embed"),
    },
    block=after(
        after(
            QFORMER.block,
            "ln1",
            {
                "hook_resid_query": Out("attention", until="query_length"),
                "hook_resid_text": Out("attention", start="query_length"),
            },
        ),
        "ln3",
        {
            "mlp_text.hook_pre": Out("intermediate.dense"),
            "mlp_text.hook_post": In("output.dense"),
            "hook_mlp_text_out": Out("output.dense"),
            "hook_resid_post_text": In("output.LayerNorm"),
            "ln_text": Norm("output.LayerNorm"),
        },
    ),
    sums=(
        ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"),
        ("hook_resid_query", "hook_cross_attn_out", "hook_resid_mid_cross"),
        ("ln2.hook_normalized", "hook_mlp_out", "hook_resid_post"),
        ("hook_resid_query", "hook_mlp_out", "hook_resid_post"),
        ("hook_resid_text", "hook_mlp_text_out", "hook_resid_post_text"),
    ),
)
"""Queries and the instruction's tokens attend to each other; then queries alone read the image, and each has an MLP.

`hook_resid_query` and `hook_resid_text` are the two parts of what `ln1` puts out; `cross_attn`, `mlp` and
`hook_resid_post` are of queries alone, `mlp_text`, `hook_mlp_text_out` and `hook_resid_post_text` of text.
`hook_normalized_resid_post` is both again.
"""

BLIP2 = VLMFamily(
    name="blip-2",
    classes=("Blip2ForConditionalGeneration",),
    layout="queries",
    image_token="image_token_index",
    vision="vision_model",
    connector="qformer",
    language="language_model.model.decoder",
    unembed="language_model.lm_head",
    once=("language.hook_full_embed",),
    example=("Salesforce/blip2-opt-2.7b",),
)
"""After its first step a generation gives the language model ids, not embeddings."""

INSTRUCTBLIP = replace(
    BLIP2,
    name="instructblip",
    classes=("InstructBlipForConditionalGeneration",),
    language="language_model.model",
    example=("Salesforce/instructblip-vicuna-7b",),
)
