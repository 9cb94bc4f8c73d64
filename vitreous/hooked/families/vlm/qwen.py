"""Qwen-VL: a tower for images of any size, whose merger joins 2 x 2 patches; streams of the merger are packed as there.

In Qwen 3 what some layers of the tower put out goes through mergers of its own and is added to the language model's
stream after its first layers (DeepStack): `connector.deepstack.{i}.hook_out`, by position of the sequence
`language.blocks.{i}.hook_deepstack`.
"""

from dataclasses import replace

from vitreous.hooked.family import Entry, Family, VLMFamily
from vitreous.hooked.site import In, Norm, Out, Site


def _merger(path: str = "", norm: str = "norm", optional: bool = False) -> dict[str, Site]:
    """The rows of Qwen 3's merger."""
    at = f"{path}." if path else ""
    return {
        "ln": Norm(f"{at}norm", optional=optional),
        "mlp.hook_pre": Out(f"{at}linear_fc1", optional=optional),
        "mlp.hook_post": In(f"{at}linear_fc2", optional=optional),
        "hook_out": Out(path, optional=optional),
    }


def _deepstack(i: int) -> dict[str, Site]:
    rows = _merger(f"/model.visual.deepstack_merger_list.{i}", optional=True)
    return {f"deepstack.{i}.{key}": site for key, site in rows.items()}


QWEN2_MERGER = Family(
    name="qwen2-merger",
    kind="connector",
    classes={"PatchMerger": Entry(), "Qwen2_5_VLPatchMerger": Entry()},
    embed={
        "hook_in": In("", copy=True),
        "ln": Norm("ln_q"),
        "mlp.hook_pre": Out("mlp.0"),
        "mlp.hook_post": In("mlp.2"),
        "hook_out": Out(""),
    },
    layers="",
    block={},
    packed=True,
)
QWEN3_MERGER = replace(
    QWEN2_MERGER,
    name="qwen3-merger",
    classes={"Qwen3VLVisionPatchMerger": Entry()},
    embed={"hook_in": In("", copy=True), **_merger(), **{k: v for i in range(8) for k, v in _deepstack(i).items()}},
)

QWEN_VL = VLMFamily(
    name="qwen-vl",
    classes=(
        "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
    ),
    vision="model.visual",
    connector="model.visual.merger",
    layout="merged",
    once=("*.hook_deepstack",),
    example=("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen3-VL-2B-Instruct"),
)
