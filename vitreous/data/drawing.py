"""Pictures of scenes: shapes, textures, backgrounds, light and noise, drawn with exact masks.

Only `+ - * /`, comparisons and integer noise are used, so the same scene has the same pixels on every platform.
"""

from collections.abc import Callable
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float, UInt8

OVERSAMPLE = 4
"""Samples per pixel and axis; coverage is their mean, so edges are smooth and exact to 1/16."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 20),
    "yellow": (245, 222, 50),
    "green": (44, 160, 44),
    "cyan": (60, 215, 225),
    "blue": (50, 90, 235),
    "purple": (140, 60, 190),
    "pink": (250, 130, 190),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "black": (16, 16, 18),
    "grey": (122, 122, 122),
    "navy": (22, 32, 88),
    "olive": (88, 94, 40),
    "brown": (102, 66, 42),
}
LIGHT = 235
"""Grey level that the light parts of a texture are mixed towards."""

# Unit normals of the five lines that bound a five-pointed star (angles 90 + 72 k degrees, y pointing down).
_STAR = (
    (0.0, 1.0),
    (0.9510565162951535, 0.30901699437494745),
    (0.5877852522924731, -0.8090169943749475),
    (-0.5877852522924731, -0.8090169943749475),
    (-0.9510565162951535, 0.30901699437494745),
)

Across = Float[np.ndarray, "cols"]
Down = Float[np.ndarray, "rows"]
Inside = Bool[np.ndarray, "rows cols"]


def _circle(u: Across, v: Down) -> Inside:
    return (u * u)[None, :] + (v * v)[:, None] <= 0.97


def _ring(u: Across, v: Down) -> Inside:
    squared = (u * u)[None, :] + (v * v)[:, None]
    return (squared <= 1.0) & (squared >= 0.30)


def _square(u: Across, v: Down) -> Inside:
    return (np.abs(u) <= 0.86)[None, :] & (np.abs(v) <= 0.86)[:, None]


def _triangle(u: Across, v: Down) -> Inside:
    """Upright; apex at the top, base at v = 0.8."""
    return (2.0 * np.abs(u)[None, :] <= 1.08 * (v + 1.0)[:, None]) & (v <= 0.8)[:, None]


def _cross(u: Across, v: Down) -> Inside:
    thin_u, thin_v = np.abs(u) <= 0.34, np.abs(v) <= 0.34
    long_u, long_v = np.abs(u) <= 1.0, np.abs(v) <= 1.0
    return (thin_u[None, :] & long_v[:, None]) | (long_u[None, :] & thin_v[:, None])


def _star(u: Across, v: Down) -> Inside:
    """Inside at least four of five half planes: the tips violate exactly one."""
    outside = np.zeros((len(v), len(u)), np.int8)
    for nu, nv in _STAR:
        outside += (nu * u)[None, :] + (nv * v)[:, None] > 0.36
    return outside <= 1


SHAPES: dict[str, Callable[[Across, Down], Inside]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def _axis(centre: float, radius: float, size: int) -> tuple[int, int, Float[np.ndarray, "samples"]]:
    """First and last pixel of an object along one axis, and the sample coordinates in units of its radius."""
    reach = 1.2 * radius
    first = max(0, int((centre - reach) * size) - 1)
    last = min(size, int((centre + reach) * size) + 2)
    samples = (np.arange(first * OVERSAMPLE, last * OVERSAMPLE) + 0.5) / (size * OVERSAMPLE)
    return first, last, (samples - centre) / radius


def coverage(
    shape: str, x: float, y: float, radius: float, size: int
) -> tuple[tuple[slice, slice], Float[np.ndarray, "h w"]]:
    """How much of each pixel an object covers.

    Args:
        shape: a name in `SHAPES`.
        x: centre, in fractions of the image width.
        y: centre, in fractions of the image height (down is positive).
        radius: in fractions of the image width.
        size: image side in pixels.

    Returns:
        The window (rows, columns) that holds the object, and the covered fraction in [0, 1] of its pixels.
    """
    x0, x1, u = _axis(x, radius, size)
    y0, y1, v = _axis(y, radius, size)
    samples = SHAPES[shape](u, v).view(np.uint8)
    rows = reduce(np.add, [samples[k::OVERSAMPLE] for k in range(OVERSAMPLE)])
    counts = reduce(np.add, [rows[:, k::OVERSAMPLE] for k in range(OVERSAMPLE)])
    return (slice(y0, y1), slice(x0, x1)), counts * np.float32(1.0 / (OVERSAMPLE * OVERSAMPLE))


def _solid(x: Across, y: Down) -> Inside:
    return np.zeros((len(y), len(x)), bool)


def _striped(x: Across, y: Down) -> Inside:
    phase = (y * 10.0) % 1.0
    return np.repeat((phase < 0.5)[:, None], len(x), axis=1)


def _dotted(x: Across, y: Down) -> Inside:
    du, dv = (x * 10.0) % 1.0 - 0.5, (y * 10.0) % 1.0 - 0.5
    return (du * du)[None, :] + (dv * dv)[:, None] < 0.085


TEXTURES: dict[str, Callable[[Across, Down], Inside]] = {"solid": _solid, "striped": _striped, "dotted": _dotted}
"""Where a texture is light; arguments are coordinates relative to the centre in fractions of the image."""


def paint(
    colour: str, texture: str, window: tuple[slice, slice], x: float, y: float, size: int
) -> Float[np.ndarray, "h w 3"]:
    """The object's own surface in a window, before light and noise; 0 to 255."""
    rows = np.arange(window[0].start, window[0].stop)
    cols = np.arange(window[1].start, window[1].stop)
    base = np.array(COLOURS[colour], dtype=np.float32)
    if texture == "solid":
        return np.broadcast_to(base, (len(rows), len(cols), 3))
    # 2 x 2 samples a pixel, so that stripes and dots do not alias
    u = (np.repeat(cols, 2) + np.tile((0.25, 0.75), len(cols))) / size - x
    v = (np.repeat(rows, 2) + np.tile((0.25, 0.75), len(rows))) / size - y
    light = TEXTURES[texture](u, v).view(np.uint8)
    light = light[0::2] + light[1::2]
    share = (light[:, 0::2] + light[:, 1::2]) * np.float32(0.8 / 4.0)
    return base + share[..., None] * (LIGHT - base)


def backdrop(background: str, size: int) -> Float[np.ndarray, "h w 3"]:
    """An even background, 0 to 255."""
    return np.full((size, size, 3), BACKGROUNDS[background], np.float32)


def illuminate(
    canvas: Float[np.ndarray, "h w 3"], light: tuple[float, float, float], noise: int, key: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Apply a brightness ramp and sensor noise, and round to bytes.

    Args:
        canvas: 0 to 255.
        light: gain at the centre, and its change across the width and across the height.
        noise: strength 0 to 8; the noise is triangular with standard deviation about 0.8 * noise grey levels.
        key: 64-bit key of the noise, so that edits of a scene keep its noise.
    """
    size = canvas.shape[0]
    ramp = (np.arange(size) + 0.5) / size - 0.5
    gain = light[0] + (light[1] * ramp)[None, :] + (light[2] * ramp)[:, None]
    lit = canvas * gain.astype(np.float32)[..., None]
    raw = np.random.Philox(key=key).random_raw((canvas.size + 7) // 8).astype("<u8").view(np.uint8)
    grain = raw[: canvas.size].reshape(canvas.shape)
    # low + high nibble is 0 to 30 with mean 15; adding 0.5 and truncating rounds
    lit += ((grain & 15) + (grain >> 4)) * np.float32(noise / 8.0) + np.float32(0.5 - 15 * noise / 8.0)
    return np.clip(lit, 0.0, 255.0).astype(np.uint8)
