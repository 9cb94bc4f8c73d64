"""Bytes of any image file -> an upright 8-bit RGB picture, or an error that names the file.

What a reader would get wrong: Pillow's own ``convert("RGB")`` clips 16-bit greyscale to white, keeps the hidden colour
of transparent pixels, and ignores the camera's rotation.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from vitreous.errors import BadInputError, FormatError

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright."""


def decode(data: bytes | Path, name: str) -> Image.Image:
    """An image file as an upright RGB picture.

    Animations and multi-page files give their first frame, 16-bit and float greyscale are scaled to 8 bits,
    transparency is composited on white, EXIF rotation is applied. Colour profiles are not.

    Args:
        data: the file's content, or where it lies.
        name: what to call the file in an error.

    Raises:
        BadInputError: the file is missing, empty, or larger than Pillow's limit on pixels.
        FormatError: the file is no image, is damaged, or has values whose range is unknown.
    """
    try:
        data = data.read_bytes() if isinstance(data, Path) else data
    except OSError as error:
        raise BadInputError(f"{name}: cannot be read ({error.strerror or error})") from error
    if not data:
        raise BadInputError(f"{name}: the file is empty (0 bytes)")
    image, turn = _loaded(data, name)
    picture = to_rgb(image, name)
    return picture if turn is None else picture.transpose(turn)


def _loaded(data: bytes, name: str) -> tuple[Image.Image, Image.Transpose | None]:
    """The first frame, its pixels read, and the turn that makes it upright."""
    try:
        image = Image.open(io.BytesIO(data))
        _check_size(image, name)
        image.load()
    except BadInputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, str(error)) from error
    except UnidentifiedImageError as error:
        raise FormatError(f"{name}: not an image that Pillow can read ({len(data)} bytes)") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        raise FormatError(f"{name}: damaged or truncated image ({type(error).__name__}: {error})") from error
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)  # after load(): the TIFF plugin turns by itself
    except Exception:  # damaged EXIF data does not spoil the pixels
        orientation = 1
    return image, UPRIGHT.get(orientation)


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """A Pillow picture of any mode as 8-bit RGB, transparency composited on white.

    16-bit greyscale is scaled by 1/257 (65535 -> 255), float greyscale in [0, 1] by 255. CMYK is converted without its
    colour profile.

    >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)

    Raises:
        FormatError: values outside the ranges above, or a colour space (Lab) that Pillow does not convert.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image), name))
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    except (ValueError, ImportError) as error:  # Lab needs a Pillow with littlecms
        raise FormatError(f"{name}: pictures of mode {image.mode} cannot be converted to RGB ({error})") from error
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def to_picture(value: Any, name: str) -> Image.Image:
    """Whatever a data set holds in its image column as RGB: Pillow, array, bytes, path, or ``{"bytes", "path"}``.

    Arrays are [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]: uint8, uint16, or float in [0, 1].
    """
    if isinstance(value, Image.Image):
        return to_rgb(value, name)
    if isinstance(value, dict) and {"bytes", "path"} & value.keys():
        value = value.get("bytes") or value.get("path") or b""
    if isinstance(value, bytes):
        return decode(value, name)
    if isinstance(value, str | Path):
        return decode(_fetched(value, name), name)
    if isinstance(value, np.ndarray | list):
        return _from_array(np.asarray(value), name)
    raise FormatError(f"{name}: no image here, but {type(value).__name__}")


def _fetched(path: str | Path, name: str) -> bytes | Path:
    if "://" not in str(path):
        return Path(path)
    import fsspec

    try:
        with fsspec.open(str(path), "rb") as file:
            return file.read()  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:
        raise BadInputError(f"{name}: cannot be fetched from {path} ({type(error).__name__}: {error})") from error


def _from_array(values: np.ndarray, name: str) -> Image.Image:
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] not in (3, 4)) or not values.size:
        raise FormatError(f"{name}: an image array is [h, w] or [h, w, 1 | 3 | 4], this one has shape {values.shape}")
    if values.dtype.kind not in "uif":
        raise FormatError(f"{name}: an image array holds numbers, this one {values.dtype}")
    if values.dtype != np.uint8:
        small = values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 255  # lists of Python integers
        values = values.astype(np.uint8) if small else _eight_bits(values, name)
    return to_rgb(Image.fromarray(values), name)


def _eight_bits(values: np.ndarray, name: str) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        top, kind = 1.0, "float"
    else:
        top, kind = 65535.0, "integer"
    if not (low >= 0 and high <= top):  # also false for nan
        raise FormatError(f"{name}: {kind} pixels from {low:g} to {high:g}, expected 0 to {top:g}; rescale them first")
    return np.round(values.astype(np.float64) * (255.0 / top)).astype(np.uint8)


def _check_size(image: Image.Image, name: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise _too_large(name, f"{image.width} x {image.height} pixels, the limit is {limit}")


def _too_large(name: str, detail: str) -> BadInputError:
    return BadInputError(f"{name}: too large ({detail}); raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file")
