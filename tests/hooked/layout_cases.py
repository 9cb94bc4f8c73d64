"""One tiny model and its processor per layout of image tokens, with prompts and images that make the layout show."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import transformers
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from tests.tiny import IMAGE, SHAPE, redraw
from tests.tiny_processor import IMAGE_TOKEN, Lent, tokenizer
from vitreous.hooked.family import VLMFamily

DECODER = {**SHAPE, "num_key_value_heads": 2, "vocab_size": 120, "pad_token_id": 0}
SMALL = {**SHAPE, "image_size": 16, "patch_size": 4}
CLIPS = {"video_token_id": 119}
PINPOINTS = [[16, 32], [32, 16], [32, 32], [16, 48], [48, 16]]
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
QWEN_TOKENS = {"vision_start_token_id": 8, "video_token_id": 119, "vision_end_token_id": 9}
QWEN_VISION = {"depth": 2, "num_heads": 4, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64}
ROWS_COLS = tuple(f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5))


@dataclass(frozen=True)
class Case:
    """A family as far as its image tokens are concerned.

    Attributes:
        id: name of the test.
        layout: name of the layout.
        cls: native class.
        config: builds its configuration.
        processor: builds its processor.
        token: what stands for an image in a prompt.
        sizes: of the images of each prompt.
        options: that the processor is called with.
        tower: path of the vision tower.
        language: path of what gets the merged embedding.
        field: the configuration's name of the image token's id.
        special: kinds of positions before the tower's patches.
        exact: whether pixels act on the positions they are in, and on no others ("exact"); on them most ("most",
            where convolutions or interpolation spread them); or as another test says ("none").
        more: further arguments of the native forward.
    """

    id: str
    layout: str
    cls: str
    config: Callable[[], Any]
    processor: Callable[[], Any]
    token: str = "<image>"
    sizes: tuple[tuple[tuple[int, int], ...], ...] = (((96, 64), (64, 96)), ((80, 80),))
    options: dict[str, Any] = field(default_factory=dict)
    tower: str = "model.vision_tower"
    language: str = "model.language_model"
    field: str = "image_token_id"
    special: tuple[str, ...] = ()
    exact: Literal["exact", "most", "none"] = "exact"
    more: Callable[[], dict[str, Any]] = dict

    @property
    def family(self) -> VLMFamily:
        """A record with what a token map reads."""
        return VLMFamily(name=self.id, classes=(self.cls,), layout=self.layout, image_token=self.field)

    def native(self) -> Any:
        """The model, with redrawn weights."""
        torch.manual_seed(0)
        return redraw(getattr(transformers, self.cls)(self.config()).eval())


def of(name: str, vision: dict[str, Any], text: Any, **options: Any) -> Callable[[], Any]:
    """A configuration with a tower and a language model."""
    config, given = getattr(transformers, name), {"image_token_id": IMAGE_TOKEN, **options}
    return lambda: config(vision_config=vision, text_config=text(), **given)


def llama(cls: str = "LlamaConfig", **options: Any) -> Callable[[], Any]:
    """A decoder's configuration."""
    return lambda: getattr(transformers, cls)(**{**DECODER, **options})


def pil(name: str, **options: Any) -> Any:
    """An image processor."""
    return getattr(transformers, f"{name}ImageProcessorPil")(**options)


SQUARE = {"height": 32, "width": 32}
CLIP = {**SHAPE, **IMAGE, "model_type": "clip_vision_model"}
SIGLIP = {**SHAPE, **IMAGE, "model_type": "siglip_vision_model"}


def llava_processor(**options: Any) -> Any:
    return transformers.LlavaProcessor(
        pil("Llava", size={"shortest_edge": 32}, crop_size=SQUARE, **options),
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def next_processor() -> Any:
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    return transformers.LlavaNextProcessor(
        pil("LlavaNext", image_grid_pinpoints=PINPOINTS, **sizes),
        tokenizer(),
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def onevision_processor(most: int = 9) -> Any:
    own = LlavaOnevisionProcessor
    return Lent(
        own.replace_image_token,
        pil("LlavaOnevision", size={"height": 16, "width": 16}, image_grid_pinpoints=PINPOINTS),
        tokenizer(),
        ("pixel_values", "image_sizes", "batch_num_images"),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio=f"anyres_max_{most}",
        _get_number_of_features=lambda *a: own._get_number_of_features(fake(most), *a),
    )


def fake(most: int) -> Any:
    """What LLaVA-OneVision's processor counts features with."""
    from types import SimpleNamespace

    count = LlavaOnevisionProcessor._get_unpadded_features
    bare = SimpleNamespace(vision_aspect_ratio=f"anyres_max_{most}")
    return SimpleNamespace(
        num_image_tokens=16,
        image_processor=SimpleNamespace(image_grid_pinpoints=PINPOINTS),
        _get_unpadded_features=lambda *a: count(bare, *a),
    )


def paligemma_processor() -> Any:
    return transformers.PaliGemmaProcessor(pil("Siglip", size=SQUARE, image_seq_length=16), tokenizer())


def gemma3_processor() -> Any:
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    return transformers.Gemma3Processor(pil("Gemma3", size=SQUARE), tokenizer(**names), image_seq_length=4)


def janus_processor() -> Any:
    names = {"boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"}
    return transformers.JanusProcessor(pil("Janus", size=SQUARE), tokenizer(**names), num_image_tokens=16)


def aya_processor() -> Any:
    more = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "TILE_GLOBAL", *(f"TILE_{i}" for i in range(1, 7)), "<image>")
    return transformers.AyaVisionProcessor(
        pil("GotOcr2", size=SQUARE, max_patches=6), tokenizer("<|IMG_PATCH|>", more=more), patch_size=16, img_size=32
    )


def internvl_processor() -> Any:
    return Lent(
        InternVLProcessor.replace_image_token,
        pil("GotOcr2", size=SQUARE, max_patches=6),
        tokenizer(more=("<img>", "</img>")),
        ("pixel_values",),
        start_image_token="<img>",
        end_image_token="</img>",
        image_seq_length=4,
        images_kwargs={"crop_to_patches": True},
    )


def split_options() -> dict[str, Any]:
    return {"size": {"longest_edge": 96}, "max_image_size": {"longest_edge": 32}}


def idefics3_processor() -> Any:
    marks = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *ROWS_COLS)
    return transformers.Idefics3Processor(pil("Idefics3", **split_options()), tokenizer(more=marks), image_seq_len=4)


def smolvlm_processor() -> Any:
    marks = {"fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>"}
    return Lent(
        SmolVLMProcessor.replace_image_token,
        pil("SmolVLM", **split_options(), return_row_col_info=True),
        tokenizer(more=(*marks.values(), *ROWS_COLS)),
        ("pixel_values", "pixel_attention_mask"),
        image_seq_len=4,
        **marks,
    )


def qwen_processor() -> Any:
    return Lent(
        Qwen2VLProcessor.replace_image_token,
        pil("Qwen2VL", patch_size=8, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}),
        tokenizer(more=("<|vision_start|>", "<|vision_end|>")),
        ("pixel_values", "image_grid_thw"),
    )


def pixtral_rows(fake: Any, image_inputs: Any, i: int) -> str:
    """Pixtral's documented layout; its processor's module needs torchvision."""
    height, width = (int(n) // fake.cell for n in image_inputs["image_sizes"][i])
    rows = [" [IMG] " * width + " [IMG_BREAK] "] * height
    return "".join(rows).removesuffix(" [IMG_BREAK] ") + " [IMG_END] "


def pixtral_processor(cell: int) -> Any:
    return Lent(
        pixtral_rows,
        pil("Pixtral", size={"longest_edge": 64}, patch_size=cell),
        tokenizer("[IMG]", more=("[IMG_BREAK]", "[IMG_END]")),
        ("pixel_values", "image_sizes"),
        cell=cell,
    )


def mllama_processor() -> Any:
    return transformers.MllamaProcessor(
        pil("Mllama", size=SQUARE, max_image_tiles=4), tokenizer(more=("<|python_tag|>",))
    )


def blip2_processor() -> Any:
    return transformers.Blip2Processor(pil("Blip", size=SQUARE), tokenizer(hold=False), num_query_tokens=5)


def florence2_processor() -> Any:
    images = pil("CLIP", size={"height": 128, "width": 128}, do_center_crop=False, image_seq_length=17)
    return transformers.Florence2Processor(images, tokenizer())


def mllama_config() -> Any:
    vision = {**SHAPE, **IMAGE, "num_global_layers": 1, "attention_heads": 4, "vision_output_dim": 64}
    sizes = {"max_num_tiles": 4, "intermediate_layers_indices": [1], "supported_aspect_ratios": RATIOS}
    text = {**DECODER, "cross_attention_layers": [1], "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    return transformers.MllamaConfig(vision_config={**vision, **sizes}, text_config=text, image_token_index=IMAGE_TOKEN)


RATIOS = [[r, c] for r in range(1, 5) for c in range(1, 5) if r * c <= 4]
DAVIT = {
    "depths": [1, 1, 1, 1],
    "embed_dim": [8, 8, 8, 16],
    "num_heads": [2, 2, 2, 2],
    "num_groups": [2, 2, 2, 2],
    "window_size": 2,
    "projection_dim": 32,
    "max_position_embeddings": 20,
    "max_temporal_embeddings": 10,
}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "eos_token_id": 2,
    "bos_token_id": 1,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
QWEN_TEXT = {"rope_parameters": ROPE}
PIXTRAL = {**SHAPE, **IMAGE, "image_size": 64, "model_type": "pixtral"}
MISTRAL = llama("MistralConfig", sliding_window=None)
GEMMA3 = llama("Gemma3TextConfig", head_dim=8, sliding_window=64, layer_types=["sliding_attention", "full_attention"])
COHERE = llama("Cohere2Config", sliding_window=64, layer_types=["sliding_attention", "full_attention"])
ONE = (((96, 64),), ((60, 100),))
PAN = {"pan_and_scan_min_crop_size": 16, "pan_and_scan_max_num_crops": 4, "pan_and_scan_min_ratio_to_activate": 1.2}

CASES: tuple[Case, ...] = (
    Case(
        "llava",
        "llava",
        "LlavaForConditionalGeneration",
        of("LlavaConfig", CLIP, llama()),
        llava_processor,
        special=("cls",),
    ),
    Case(
        "llava-padded",
        "llava",
        "LlavaForConditionalGeneration",
        of("LlavaConfig", CLIP, llama()),
        lambda: llava_processor(do_pad=True),
        special=("cls",),
    ),
    Case(
        "llava-pixtral",
        "llava",
        "LlavaForConditionalGeneration",
        of("LlavaConfig", PIXTRAL, MISTRAL, vision_feature_layer=-1, vision_feature_select_strategy="full"),
        lambda: pixtral_processor(8),
        token="[IMG]",
    ),
    Case(
        "llava-next",
        "mosaic",
        "LlavaNextForConditionalGeneration",
        of("LlavaNextConfig", {**CLIP, **SMALL}, llama(), image_grid_pinpoints=PINPOINTS),
        next_processor,
        sizes=(((100, 60), (63, 101)), ((80, 80),), ((180, 80),)),
        special=("cls",),
    ),
    Case(
        "llava-onevision",
        "shrunk-mosaic",
        "LlavaOnevisionForConditionalGeneration",
        of("LlavaOnevisionConfig", {**SIGLIP, **SMALL}, llama("Qwen2Config"), image_grid_pinpoints=PINPOINTS, **CLIPS),
        onevision_processor,
        sizes=(((100, 60),), ((63, 101),), ((80, 80), (64, 96))),
    ),
    Case(
        "llava-onevision-shrunk",
        "shrunk-mosaic",
        "LlavaOnevisionForConditionalGeneration",
        of(
            "LlavaOnevisionConfig",
            {**SIGLIP, **SMALL},
            llama("Qwen2Config"),
            image_grid_pinpoints=PINPOINTS,
            vision_aspect_ratio="anyres_max_1",
        ),
        lambda: onevision_processor(1),
        sizes=(((100, 60),), ((63, 101),)),
        exact="most",
    ),
    Case(
        "paligemma",
        "grid",
        "PaliGemmaForConditionalGeneration",
        of("PaliGemmaConfig", SIGLIP, llama("GemmaConfig", head_dim=8), projection_dim=32),
        paligemma_processor,
    ),
    Case(
        "gemma3",
        "pooled",
        "Gemma3ForConditionalGeneration",
        of("Gemma3Config", SIGLIP, GEMMA3, mm_tokens_per_image=4),
        gemma3_processor,
        token="<start_of_image>",
    ),
    Case(
        "gemma3-crops",
        "pooled",
        "Gemma3ForConditionalGeneration",
        of("Gemma3Config", SIGLIP, GEMMA3, mm_tokens_per_image=4),
        gemma3_processor,
        token="<start_of_image>",
        options={"do_pan_and_scan": True, **PAN},
        sizes=(((96, 40), (64, 96)), ((80, 80),)),
    ),
    Case(
        "janus",
        "letterbox",
        "JanusForConditionalGeneration",
        of(
            "JanusConfig",
            {**SHAPE, **IMAGE, "mlp_ratio": 2.0, "projection_dim": 32},
            llama(),
            vq_config={"embed_dim": 8, "base_channels": 32, "channel_multiplier": [1, 1], "num_res_blocks": 1},
        ),
        janus_processor,
        tower="model.vision_model",
    ),
    Case(
        "aya",
        "pixel-shuffled",
        "AyaVisionForConditionalGeneration",
        of("AyaVisionConfig", SIGLIP, COHERE, alignment_intermediate_size=48),
        aya_processor,
        sizes=(((96, 64), (64, 160)), ((33, 34),)),
    ),
    Case(
        "internvl",
        "pixel-shuffled",
        "InternVLForConditionalGeneration",
        of("InternVLConfig", {**SHAPE, **IMAGE}, llama("Qwen2Config"), image_seq_length=4, downsample_ratio=0.5),
        internvl_processor,
        sizes=(((96, 64), (64, 160)), ((33, 34),)),
    ),
    Case(
        "idefics3",
        "split",
        "Idefics3ForConditionalGeneration",
        of("Idefics3Config", {**SHAPE, **IMAGE}, llama(), scale_factor=2),
        idefics3_processor,
        tower="model.vision_model",
        language="model.text_model",
        sizes=(((100, 60), (64, 96)), ((80, 80),)),
    ),
    Case(
        "smolvlm",
        "split",
        "SmolVLMForConditionalGeneration",
        of("SmolVLMConfig", {**SHAPE, **IMAGE}, llama(), scale_factor=2),
        smolvlm_processor,
        tower="model.vision_model",
        language="model.text_model",
        sizes=(((40, 100),), ((64, 64),)),
    ),
    *(
        Case(
            name.lower(),
            "merged",
            f"{name}ForConditionalGeneration",
            of(f"{name}Config", vision, llama(f"{name}TextConfig", **QWEN_TEXT, **more), **QWEN_TOKENS),
            qwen_processor,
            tower="model.visual",
        )
        for name, vision, more in (
            ("Qwen2VL", {**QWEN_VISION, "embed_dim": 32, "mlp_ratio": 2}, {}),
            (
                "Qwen2_5_VL",
                {**QWEN_VISION, "window_size": 32, "fullatt_block_indexes": [1], "out_hidden_size": 32},
                {},
            ),
            (
                "Qwen3VL",
                {**QWEN_VISION, "num_position_embeddings": 16, "deepstack_visual_indexes": [0], "out_hidden_size": 32},
                {"head_dim": 8},
            ),
        )
    ),
    Case(
        "mistral3",
        "rows",
        "Mistral3ForConditionalGeneration",
        of("Mistral3Config", PIXTRAL, MISTRAL, spatial_merge_size=2),
        lambda: pixtral_processor(16),
        token="[IMG]",
    ),
    Case(
        "blip2",
        "queries",
        "Blip2ForConditionalGeneration",
        lambda: transformers.Blip2Config(
            vision_config={**SHAPE, **IMAGE},
            qformer_config={**SHAPE, "vocab_size": 120, "encoder_hidden_size": 32},
            text_config=transformers.OPTConfig(
                hidden_size=32,
                ffn_dim=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                vocab_size=120,
                max_position_embeddings=64,
                word_embed_proj_dim=32,
                pad_token_id=0,
            ),
            num_query_tokens=5,
            image_token_index=IMAGE_TOKEN,
        ),
        blip2_processor,
        tower="vision_model",
        language="language_model",
        field="image_token_index",
        sizes=ONE,
        exact="none",
    ),
    Case(
        "florence2",
        "florence",
        "Florence2ForConditionalGeneration",
        of("Florence2Config", DAVIT, llama("BartConfig", **BART)),
        florence2_processor,
        language="model.language_model.encoder",
        sizes=ONE,
        exact="none",
        more=lambda: {"decoder_input_ids": torch.ones(2, 1, dtype=torch.long)},
    ),
)
