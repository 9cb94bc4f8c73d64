"""BEiT and data2vec: LayerScale as raw parameters, relative position biases in the scores, mean or CLS pooling."""

from vitreous.hooked.families.vit import CLASSIFIER
from vitreous.hooked.family import Entry, Family, pre_ln
from vitreous.hooked.site import Norm, Out, Parameter, Scaled

_HEAD = {
    "ln_final": Norm("layernorm|pooler.layernorm", also="hook_ln_final", optional=True),
    "pool.hook_out": Out("pooler", optional=True),
}
_EMBED = {
    "hook_embed": Out("embeddings.patch_embeddings"),
    "hook_pos_embed": Parameter("embeddings", "position_embeddings", always=True),
    "hook_full_embed": Out("embeddings"),
}

BEIT = Family(
    name="beit",
    kind="vision",
    classes={
        "BeitModel": Entry(drop={"pooler.": {"add_pooling_layer": False}}),
        "BeitForImageClassification": Entry("beit", head=CLASSIFIER),
    },
    embed=_EMBED,
    layers="layers",
    block=pre_ln(
        ln1="layernorm_before",
        attn="attention",
        out="o_proj",
        attn_out=Scaled("attention", "lambda_1"),
        ln2="layernorm_after",
        pre="mlp.fc1",
        post="mlp.fc2",
        mlp_out=Scaled("mlp", "lambda_2"),
    ),
    head=_HEAD,
    special=("cls",),
    interpolate="always",
    processor="BeitImageProcessorPil",
    example=("microsoft/beit-base-patch16-224",),
)

DATA2VEC = Family(
    name="data2vec",
    kind="vision",
    classes={
        "Data2VecVisionModel": Entry(),
        "Data2VecVisionForImageClassification": Entry("data2vec_vision", head=CLASSIFIER),
    },
    embed=_EMBED,
    layers="encoder.layer",
    block=pre_ln(
        ln1="layernorm_before",
        attn="attention.attention",
        out="/attention.output.dense",
        qkv=("query", "key", "value"),
        attn_out=Scaled("attention", "lambda_1"),
        ln2="layernorm_after",
        pre="intermediate.dense",
        post="output.dense",
        mlp_out=Scaled("output", "lambda_2"),
        route="mode",
    ),
    head=_HEAD,
    special=("cls",),
    interpolate="always",
    processor="BeitImageProcessorPil",
    example=("facebook/data2vec-vision-base",),
)
