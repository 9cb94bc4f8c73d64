"""Odd image files, made here: each must come out as the picture it shows, or fail with an error that names it."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitreous.data.decoder import decode, to_picture, to_rgb
from vitreous.errors import BadInputError, FormatError, VitreousError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    picture = decode(data, "x")
    assert picture.mode == "RGB"
    return np.asarray(picture)


def corner() -> Image.Image:
    """3 wide, 2 high, one red pixel top left: no two of its eight turns are equal."""
    image = Image.new("RGB", (3, 2), WHITE)
    image.putpixel((0, 0), RED)
    return image


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "TGA", "QOI"])
def test_lossless_formats_keep_their_pixels(kind: str) -> None:
    if f".{kind.lower()}" not in Image.registered_extensions():
        pytest.skip(f"this Pillow cannot write {kind}")
    assert np.array_equal(pixels(encoded(corner(), kind)), np.asarray(corner()))


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_binary_and_palette(mode: str) -> None:
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert(mode)
    assert np.array_equal(pixels(encoded(image))[..., 0], [[0, 255], [255, 0]])


def test_cmyk_jpeg() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(pixels(encoded(red, "JPEG", quality=95)).astype(int) - RED).max() < 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_greyscale_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    shown = pixels(encoded(Image.fromarray(values), kind))
    assert shown[0, :, 0].tolist() == [0, 1, 128, 255]


def test_big_endian_sixteen_bit() -> None:
    values = np.array([[0, 32896, 65535]], ">u2")
    assert np.asarray(to_rgb(Image.fromarray(values)))[0, :, 2].tolist() == [0, 128, 255]


def test_float_greyscale() -> None:
    shown = pixels(encoded(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF"))
    assert shown[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("values", [[[0.0, 255.0]], [[-0.1, 0.5]], [[np.nan, 0.5]]])
def test_float_of_unknown_range_is_an_error(values: list[list[float]]) -> None:
    with pytest.raises(FormatError, match=r"sky\.tif.*expected 0 to 1"):
        decode(encoded(Image.fromarray(np.array(values, np.float32)), "TIFF"), "sky.tif")


def test_integers_beyond_sixteen_bit_are_an_error() -> None:
    with pytest.raises(FormatError, match=r"deep\.tif.*expected 0 to 65535"):
        decode(encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF"), "deep.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
def test_transparency_shows_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))  # Pillow's convert("RGB") shows this pixel black
    image = image.convert(mode) if mode in ("RGBA", "LA", "RGBa") else image.convert("LA").convert("La")
    assert np.asarray(to_rgb(image)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_half_transparent_is_half_way_to_white() -> None:
    shown = pixels(encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128))))
    assert np.abs(shown[0, 0].astype(int) - (255, 127, 127)).max() <= 1


def test_colour_key_and_palette_transparency() -> None:
    keyed = encoded(corner(), transparency=RED)
    assert pixels(keyed)[0, 0].tolist() == list(WHITE)
    palette = corner().quantize(4)
    index = palette.getpixel((0, 0))
    assert isinstance(index, int)
    assert pixels(encoded(palette, transparency=index))[0, 0].tolist() == list(WHITE)
    per_entry = bytes(0 if entry == index else 255 for entry in range(4))
    assert pixels(encoded(palette, transparency=per_entry))[0, 0].tolist() == list(WHITE)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2  # type: ignore[attr-defined]
    assert pixels(data)[0, 0].tolist() == list(RED)


STORED = {  # EXIF 2.3, tag 0x0112: which side of the picture the first row and the first column are
    1: lambda seen: seen,  # top, left
    2: lambda seen: seen[:, ::-1],  # top, right
    3: lambda seen: seen[::-1, ::-1],  # bottom, right
    4: lambda seen: seen[::-1],  # bottom, left
    5: lambda seen: seen.swapaxes(0, 1),  # left, top
    6: lambda seen: seen.swapaxes(0, 1)[::-1],  # right, top
    7: lambda seen: seen[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda seen: seen[::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_rotation_is_undone_once(orientation: int, kind: str) -> None:
    seen = np.asarray(corner())
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](seen)))
    assert np.array_equal(pixels(encoded(stored, kind, exif=exif)), seen)


def test_rotated_sixteen_bit_grey() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored top row is the right column
    data = encoded(Image.fromarray(np.array([[0, 65535, 65535]], np.uint16)), exif=exif)
    assert pixels(data)[:, 0, 0].tolist() == [0, 255, 255]


def test_damaged_exif_does_not_spoil_the_pixels() -> None:
    data = encoded(corner(), exif=b"Exif\x00\x00garbage that is no TIFF header")
    assert np.array_equal(pixels(data), np.asarray(corner()))


def test_lab() -> None:
    shown = pixels(encoded(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF"))
    assert shown.min() >= 250


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "void.jpg").touch()
    with pytest.raises(BadInputError, match=r"void\.jpg.*empty"):
        decode(tmp_path / "void.jpg", "void.jpg")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"gone\.jpg.*No such file"):
        decode(tmp_path / "gone.jpg", "gone.jpg")
    with pytest.raises(BadInputError, match="cannot be read"):
        decode(tmp_path, "a folder")


def test_text_named_as_an_image() -> None:
    with pytest.raises(FormatError, match=r"page\.jpg.*not an image"):
        decode(b"<html>404</html>", "page.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_files_name_themselves(kind: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    with pytest.raises((FormatError, BadInputError), match=r"^cut: "):
        decode(data[: int(len(data) * kept)], "cut")


@pytest.mark.parametrize("factor", [1, 3])  # Pillow warns above its limit and raises above twice the limit
@pytest.mark.parametrize("action", ["ignore", "error"])
def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch, factor: int, action: str) -> None:
    data = encoded(Image.new("1", (400, 400)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", (160_000 - 1) // factor)
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]
        with pytest.raises(BadInputError, match=r"bomb\.png: too large"):
            decode(data, "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(data, "bomb.png").size == (400, 400)


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8))
FILES = {kind: encoded(NOISE, kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")}


@given(
    st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_whatever_is_damaged_is_a_picture_or_our_error(kind: str, edits: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[kind])
    for place, value in edits:
        data[min(int(place * len(data)), len(data) - 1)] = value
    try:
        shown = decode(bytes(data), "fuzz").mode
    except VitreousError as error:
        shown = str(error)
    assert shown == "RGB" or shown.startswith("fuzz: ")


def test_the_result_is_a_copy() -> None:
    original = corner()
    copy = to_rgb(original)
    copy.putpixel((2, 1), GREEN)
    assert original.getpixel((2, 1)) == WHITE


class TestArrays:
    def test_layouts(self) -> None:
        values = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        assert np.array_equal(np.asarray(to_picture(values, "x")), values)
        assert np.array_equal(np.asarray(to_picture(values.tolist(), "x")), values)
        assert np.array_equal(np.asarray(to_picture(values[..., :1], "x"))[..., 2], values[..., 0])
        assert np.array_equal(np.asarray(to_picture((values / 255).astype(np.float32), "x")), values)
        assert np.array_equal(np.asarray(to_picture(values.astype(np.uint16) * 257, "x")), values)

    @pytest.mark.parametrize(
        "values",
        [np.zeros((3, 4, 5), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(5, np.uint8), np.zeros((2, 2), "U1")],
    )
    def test_everything_else_is_an_error(self, values: np.ndarray) -> None:
        with pytest.raises(FormatError, match=r"^row 3: "):
            to_picture(values, "row 3")

    def test_bytes_paths_and_records(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(corner()))
        for value in (
            encoded(corner()),
            str(tmp_path / "a.png"),
            {"bytes": encoded(corner()), "path": None},
            {"bytes": None, "path": str(tmp_path / "a.png")},
        ):
            assert np.array_equal(np.asarray(to_picture(value, "x")), np.asarray(corner()))
        with pytest.raises(BadInputError, match="empty"):
            to_picture({"bytes": None, "path": None}, "x")
        with pytest.raises(FormatError, match="no image here, but int"):
            to_picture(3, "x")
