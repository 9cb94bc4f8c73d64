"""BART, the language model of Florence-2: post-LN, an encoder of image and prompt, a decoder that reads it."""

from vitreous.hooked.family import POST_LN, POST_LN_CROSS, Entry, Family, Stack, post_ln
from vitreous.hooked.site import Norm, Out

_NAMES = {
    "attn": "self_attn",
    "dense": "self_attn.out_proj",
    "norm1": "self_attn_layer_norm",
    "pre": "fc1",
    "post": "fc2",
    "norm2": "final_layer_norm",
}
_QKV = ("q_proj", "k_proj", "v_proj")
_EMBED = {
    "hook_pos_embed": Out("embed_positions"),
    "ln_embed": Norm("layernorm_embedding", also="hook_full_embed"),
}

BART_DECODER = Family(
    name="bart-decoder",
    kind="language",
    classes={"BartDecoder": Entry()},
    embed={"hook_embed": Out("embed_tokens"), **_EMBED},
    layers="layers",
    block=post_ln(
        **_NAMES,
        cross="encoder_attn",
        cross_dense="encoder_attn.out_proj",
        cross_norm="encoder_attn_layer_norm",
        qkv=_QKV,
    ),
    sums=POST_LN_CROSS,
)


def bart_encoder(path: str) -> Stack:
    """The encoder that belongs to a decoder; its tokens are embedded by what both share.

    Args:
        path: of the model that holds both, from the native model's root.
    """
    return Stack(
        name="encoder",
        base=f"{path}.encoder",
        layers="layers",
        block=post_ln(**_NAMES, qkv=_QKV),
        sums=POST_LN,
        embed={"hook_embed": Out(f"/{path}.shared"), **_EMBED},
        first=True,
    )
