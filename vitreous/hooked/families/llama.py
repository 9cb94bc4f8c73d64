"""Language models with LLaMA's blocks: RMSNorm, rotary positions, grouped-query attention, gated MLP.

Qwen 3's queries and keys are normed before they are rotated; `hook_q` and `hook_k` are what attention compares, after
both. Sliding windows are part of the mask, and so of the scores. Gemma's `hook_embed` is scaled by the square root of
the width already.
"""

from dataclasses import replace
from functools import partial

from vitreous.hooked.family import PARALLEL, Entry, Family, pre_ln
from vitreous.hooked.site import In, Injected, Norm, Out

_block = partial(
    pre_ln,
    ln1="input_layernorm",
    attn="self_attn",
    out="o_proj",
    pre="mlp.gate_proj",
    pre_linear="mlp.up_proj",
    post="mlp.down_proj",
    mlp_out="mlp",
)

LLAMA = Family(
    name="llama",
    kind="language",
    classes={
        name: Entry()
        for name in (
            "LlamaModel",
            "MistralModel",
            "Qwen2Model",
            "Qwen3Model",
            "GemmaModel",
            "Qwen2VLTextModel",
            "Qwen2_5_VLTextModel",
        )
    },
    embed={"hook_embed": Out("embed_tokens"), "hook_full_embed": In("")},
    layers="layers",
    block=_block(ln2="post_attention_layernorm"),
    head={"ln_final": Norm("norm", also="hook_ln_final")},
    rotary=True,
)

GEMMA = replace(
    LLAMA,
    name="gemma",
    classes={"Gemma2Model": Entry(), "Gemma3TextModel": Entry()},
    block=_block(
        ln1_post="post_attention_layernorm", ln2="pre_feedforward_layernorm", ln2_post="post_feedforward_layernorm"
    ),
)
"""Gemma 2 and 3 norm what attention and MLP put out (`ln1_post`, `ln2_post`); that is what is added to the stream."""

QWEN3_VL = replace(
    LLAMA,
    name="qwen3-vl",
    classes={"Qwen3VLTextModel": Entry()},
    between={"hook_deepstack": Injected("_deepstack_process", "vision_config.deepstack_visual_indexes")},
)
"""What Qwen 3-VL's tower found in inner layers is added to the stream between the first layers: there
`resid_post + hook_deepstack` is the next `resid_pre`, zero outside of images. The point is opt-in: text has none."""

_WITHOUT = ("hook_resid_mid", "hook_mlp_in", "ln2")
COHERE = replace(
    LLAMA,
    name="cohere",
    classes={"Cohere2Model": Entry()},
    block={key: site for key, site in _block(ln2="input_layernorm").items() if key not in _WITHOUT},
    sums=PARALLEL,
)
"""Attention and MLP read the same norm of the same stream; there is no middle."""
