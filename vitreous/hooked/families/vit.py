"""ViT (also DINO v1, which is published in this class)."""

from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import In, Norm, Out, Parameter, Site

VIT_BLOCK = pre_ln(
    ln1="layernorm_before",
    attn="attention",
    out="o_proj",
    ln2="layernorm_after",
    pre="mlp.fc1",
    post="mlp.fc2",
    mlp_out="mlp",
)


def legacy_block(route: str = "interface") -> dict[str, Site]:
    """ViT's block as older classes spell it; their `output` adds the residual, its `dense` is the contribution."""
    return pre_ln(
        ln1="layernorm_before",
        attn="attention.attention",
        out="/attention.output.dense",
        qkv=("query", "key", "value"),
        attn_out="attention",
        ln2="layernorm_after",
        pre="intermediate.dense",
        post="output.dense",
        mlp_out="output.dense",
        route=route,
    )


VIT_EMBED = {
    "hook_embed": Out("embeddings.patch_embeddings"),
    "hook_pos_embed": Parameter("embeddings", "position_embeddings"),
    "hook_full_embed": Out("embeddings"),
}
CLASSIFIER = {"head.hook_in": In("/classifier"), "head.hook_out": Out("/classifier")}
POOLER = {
    "pool.hook_pre": Out("pooler.dense", optional=True),
    "pool.hook_out": Out("pooler", optional=True),
}
NO_POOLER = {"pooler.": {"add_pooling_layer": False}}

VIT = Family(
    name="vit",
    kind="vision",
    classes={
        "ViTModel": Entry(head=POOLER, drop=NO_POOLER),
        "ViTForImageClassification": Entry("vit", head=CLASSIFIER),
    },
    embed=VIT_EMBED,
    layers="layers",
    block=VIT_BLOCK,
    head={"ln_final": Norm("layernorm", also="hook_ln_final")},
    special=("cls",),
    example=("google/vit-base-patch16-224", "facebook/dino-vitb16"),
)
