"""What stands in for an image in a language model's sequence: crops, grids and breaks, and the pixels that they show.

A layout is a pure function of one image and the settings; `LAYOUTS` lists them, a `VLMFamily` names its own. It counts
the *placeholders* of an image in order; tokens that only mark an image (`[IMG_BREAK]`, `<row_1_col_1>`) are none.
"""

import math
from collections.abc import Callable

from vitreous.errors import UnsupportedError
from vitreous.hooked import canvas
from vitreous.hooked.anyres import mosaic, shrunk_mosaic
from vitreous.hooked.crop import Crop, Picture, Setting, original, side
from vitreous.hooked.tower import two

Layout = Callable[[Picture, Setting], tuple[Crop, ...]]


def grid(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """One view, one position per patch: LLaVA 1.5, PaliGemma."""
    assert picture.pixels is not None
    (height, width), (ph, pw) = picture.pixels, setting.patch
    rows, cols = height // ph, width // pw
    seen = (0, 0, cols * pw, rows * ph)  # a rest beside the last patch is not seen
    if picture.size is None:
        return (Crop((rows, cols), seen, True, setting.kept),)
    fit = canvas.preprocessed(picture.size, setting.options)
    return (Crop((rows, cols), fit.original(seen), True, setting.kept),)


def letterbox(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """One view of the image in a square, one position per patch: Janus."""
    n = side(setting)
    length = n * setting.patch[0]
    if picture.size is None:
        return (Crop((n, n), (0, 0, length, length), True),)
    fit = canvas.letterboxed(picture.size, two(setting.vision.image_size)[0], setting.options.get("min_size") or 14)
    return (Crop((n, n), fit.original((0, 0, length, length)), True),)


def pooled(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The whole image, then its crops by pan and scan; patches averaged in squares: Gemma 3."""
    n = math.isqrt(setting.config.mm_tokens_per_image)
    panning = bool(setting.options.get("do_pan_and_scan"))
    size = original(picture) if panning else picture.size or picture.pixels
    assert size is not None
    names = ("pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "pan_and_scan_min_ratio_to_activate")
    boxes = canvas.panned(size, *(setting.need(name) for name in names)) if panning else []
    return (Crop((n, n), canvas.whole(size), True), *(Crop((n, n), box) for box in boxes))


def pixel_shuffled(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """Tiles of the stretched image, then a thumbnail; patches shuffled into channels: InternVL, Aya Vision."""
    ratio = getattr(setting.config, "downsample_ratio", None) or 1 / setting.config.downsample_factor
    n = round(side(setting) * ratio)
    if not setting.options.get("crop_to_patches"):
        return (Crop((n, n), canvas.whole(picture.size or two(setting.vision.image_size)), True),)
    size, tile = original(picture), dict(setting.need("size"))
    rows, cols = canvas.tiling(
        size, (tile["height"], tile["width"]), setting.need("min_patches"), setting.need("max_patches")
    )
    thumbnail = Crop((n, n), canvas.whole(size), True)
    if rows * cols == 1:
        return (thumbnail,)
    return (*(Crop((n, n), box) for box in canvas.tiles(size, rows, cols)), thumbnail)


def split(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """Tiles of the stretched image, then the whole; patches shuffled into channels: Idefics3, SmolVLM."""
    n = side(setting) // int(setting.config.scale_factor)
    if not setting.options.get("do_image_splitting", True):
        return (Crop((n, n), canvas.whole(picture.size or two(setting.vision.image_size)), True),)
    size = original(picture)
    longest, tile = (dict(setting.need(name))["longest_edge"] for name in ("size", "max_image_size"))
    rows, cols = canvas.splitting(size, longest, tile)
    boxes = canvas.tiles(size, rows, cols) if rows else []
    return (*(Crop((n, n), box) for box in boxes), Crop((n, n), canvas.whole(size), True))


def merged(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The resized image, patches merged in squares, time step by time step: Qwen2-VL, Qwen2.5-VL, Qwen3-VL."""
    assert picture.steps is not None
    (steps, rows, cols), merge = picture.steps, int(setting.vision.spatial_merge_size)
    ph, pw = setting.patch
    box = canvas.whole(picture.size or (rows * ph, cols * pw))
    tubelet = int(setting.vision.temporal_patch_size) if picture.video else 1
    return (Crop((rows // merge, cols // merge), box, True, n_frames=steps, tubelet=tubelet),)


def rows(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The resized image, a break token after each row, patches merged in squares: Pixtral, Mistral 3."""
    assert picture.told is not None
    merge = int(getattr(setting.config, "spatial_merge_size", 1))
    (height, width), (ph, pw) = picture.told, setting.patch
    n_rows, n_cols = height // (ph * merge), width // (pw * merge)
    return (Crop((n_rows, n_cols), canvas.whole(picture.size or picture.told), True),)


def llava(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """LLaVA's class with either tower: CLIP's or SigLIP's fixed grid, or Pixtral's rows."""
    return (rows if setting.vision.model_type == "pixtral" else grid)(picture, setting)


def queries(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """As many positions as the connector has queries, none of which has a place: BLIP-2, InstructBLIP, Kosmos-2."""
    for name in ("num_query_tokens", "latent_query_num"):
        if getattr(setting.config, name, None):
            size = picture.size or picture.pixels
            box = canvas.whole(size) if size else (0, 0, 0, 0)
            return (Crop((0, 0), box, True, ("query",) * getattr(setting.config, name)),)
    raise UnsupportedError(f"{type(setting.config).__name__} does not say how many query tokens there are")


def resampled(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The latents of a resampler, which have no place, for each quarter of the image and for the whole: Idefics2."""
    latents = ("query",) * setting.config.perceiver_config.resampler_n_latents
    size = picture.size or picture.pixels
    whole = Crop((0, 0), canvas.whole(size) if size else (0, 0, 0, 0), True, latents)
    if not setting.options.get("do_image_splitting"):
        return (whole,)
    height, width = original(picture)
    y, x = height // 2, width // 2
    boxes = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    return (*(Crop((0, 0), box, before=latents) for box in boxes), whole)


def florence(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """The mean of all positions, then the last stage's grid: Florence-2.

    The boxes share the image out evenly; the stages' convolutions are centred on the upper left corner of each.
    """
    assert picture.pixels is not None
    size = picture.pixels
    sizes = zip(setting.vision.patch_size, setting.vision.patch_stride, setting.vision.patch_padding, strict=True)
    for kernel, stride, padding in sizes:
        size = ((size[0] + 2 * padding - kernel) // stride + 1, (size[1] + 2 * padding - kernel) // stride + 1)
    seen = canvas.whole(picture.pixels)
    if picture.size is not None:
        seen = canvas.preprocessed(picture.size, setting.options).original(seen)
    return (Crop(size, seen, True, ("global",)),)


def mark(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """One token that only says where an image belongs; what is seen comes through cross-attention: Mllama."""
    size = picture.size
    return (Crop((0, 0), canvas.whole(size) if size else (0, 0, 0, 0), True, ("separator",)),)


def outside(picture: Picture, setting: Setting) -> tuple[Crop, ...]:
    """No position at all: the decoder reads the image through cross-attention, and no token marks it (BLIP)."""
    return ()


LAYOUTS: dict[str, Layout] = {
    "grid": grid,
    "llava": llava,
    "letterbox": letterbox,
    "pooled": pooled,
    "pixel-shuffled": pixel_shuffled,
    "split": split,
    "merged": merged,
    "rows": rows,
    "mosaic": mosaic,
    "shrunk-mosaic": shrunk_mosaic,
    "queries": queries,
    "resampled": resampled,
    "florence": florence,
    "mark": mark,
    "outside": outside,
}
"""Name of a layout, as a `VLMFamily` has it -> the function."""
