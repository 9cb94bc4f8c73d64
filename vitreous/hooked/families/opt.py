"""OPT, the language model of BLIP-2: pre-LN, learnt positions, an MLP that sees `[b*pos, d]`.

Its queries are scaled before the attention function, so `hook_q` is, too. The size that norms after adding (350m) is in
no published VLM.
"""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import In, Norm, Out

OPT = Family(
    name="opt",
    kind="language",
    classes={"OPTDecoder": Entry()},
    embed={
        "hook_embed": Out("embed_tokens"),
        "hook_full_embed": In(""),
        "hook_pos_embed": Out("embed_positions"),
    },
    layers="layers",
    block=pre_ln(
        ln1="self_attn_layer_norm",
        attn="self_attn",
        out="out_proj",
        ln2="final_layer_norm",
        pre="fc1",
        post="fc2",
        mlp_out="fc2",
        view="flat",
    ),
    head={"ln_final": Norm("final_layer_norm", also="hook_ln_final", optional=True)},
    rotary=True,
    demands={"do_layer_norm_before": True},
)
