"""Text towers with BERT's post-LN blocks: ChineseCLIP, AltCLIP (RoBERTa positions, a projection of every token), BLIP.

Their per-head inputs (`hook_attn_in`) do not exist: see `post_ln`.
"""

from vitreous.hooked.family import POST_LN, Entry, Family, post_ln
from vitreous.hooked.site import Norm, Out


def bert_embed(prefix: str = "embeddings", types: bool = True) -> dict[str, Out | Norm]:
    """Rows of BERT's embeddings: words, token types and positions are added, then normed.

    Args:
        prefix: path of the embeddings, relative to the tower.
        types: whether there are token types. Without them the native forward adds positions in place.
    """
    return {
        "hook_embed": Out(f"{prefix}.word_embeddings", copy=not types),
        **({"hook_token_type_embed": Out(f"{prefix}.token_type_embeddings")} if types else {}),
        "hook_pos_embed": Out(f"{prefix}.position_embeddings"),
        "ln_embed": Norm(f"{prefix}.LayerNorm"),
        "hook_full_embed": Out(prefix),
    }


TEXT_POOLER = {
    "pool.hook_pre": Out("pooler.dense", optional=True),
    "pool.hook_out": Out("pooler", optional=True),
}
_TEXT = {"hook_post_proj": Out("/text_projection")}

CHINESE_CLIP_TEXT = Family(
    name="chinese-clip-text",
    kind="text",
    classes={
        "ChineseCLIPModel": Entry("text_model", call="get_text_features", head=_TEXT),
        "ChineseCLIPTextModel": Entry(),
    },
    embed=bert_embed(),
    layers="encoder.layer",
    block=post_ln(),
    sums=POST_LN,
    head=TEXT_POOLER,
    example=("OFA-Sys/chinese-clip-vit-base-patch16",),
)

ALTCLIP_TEXT = Family(
    name="altclip-text",
    kind="text",
    classes={
        "AltCLIPModel": Entry("text_model", call="get_text_features", head=_TEXT),
        "AltCLIPTextModel": Entry(),
    },
    embed=bert_embed("roberta.embeddings"),
    layers="roberta.encoder.layers",
    block=post_ln(),
    sums=POST_LN,
    head={"ln_final": Norm("pre_LN", also="hook_ln_final"), "hook_transformation": Out("transformation")},
    example=("BAAI/AltCLIP",),
)

BLIP_TEXT = Family(
    name="blip-text",
    kind="text",
    classes={
        "BlipModel": Entry("text_model", call="get_text_features", head=_TEXT),
        "BlipTextModel": Entry(),
    },
    embed=bert_embed(types=False),
    layers="encoder.layer",
    block=post_ln(route="softmax"),
    sums=POST_LN,
    head=TEXT_POOLER,
    example=("Salesforce/blip-image-captioning-base",),
)
"""BLIP's text encoder on text alone: its cross-attention to an image runs in captioning only (see `HookedVLM`)."""
