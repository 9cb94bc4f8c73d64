"""Language models with LLaMA's blocks: RMSNorm, rotary positions, grouped-query attention, gated MLP."""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import In, Norm, Out

LANGUAGE_EMBED = {"hook_embed": Out("embed_tokens"), "hook_full_embed": In("")}

LLAMA = Family(
    name="llama",
    kind="language",
    classes={name: Entry() for name in ("LlamaModel",)},
    embed=LANGUAGE_EMBED,
    layers="layers",
    block=pre_ln(
        ln1="input_layernorm",
        attn="self_attn",
        out="o_proj",
        ln2="post_attention_layernorm",
        pre="mlp.gate_proj",
        pre_linear="mlp.up_proj",
        post="mlp.down_proj",
        mlp_out="mlp",
    ),
    head={"ln_final": Norm("norm", also="hook_ln_final")},
    rotary=True,
)
