"""How numbers and text cross into the page: base64 typed arrays, compact heatmaps, JSON inside a one-line call."""

import base64
import json
from typing import Any

import numpy as np

from vitreous.errors import FormatError

CALL = "vitreous_data"  # the global function that every data file calls
TYPES = {"f4": np.float32, "i4": np.int32, "u4": np.uint32, "u2": np.uint16, "u1": np.uint8}


def array(values: np.ndarray, dtype: str) -> dict[str, Any]:
    """A typed array with its shape, little-endian, as the page reads it."""
    data = np.ascontiguousarray(values, dtype=np.dtype(TYPES[dtype]).newbyteorder("<"))
    return {"dtype": dtype, "shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode()}


def unarray(packed: dict[str, Any]) -> np.ndarray:
    """The inverse of `array`.

    >>> unarray(array(np.array([[1.5, -2.0]]), "f4"))
    array([[ 1.5, -2. ]], dtype=float32)
    """
    data = np.frombuffer(base64.b64decode(packed["data"]), np.dtype(TYPES[packed["dtype"]]).newbyteorder("<"))
    return data.reshape(packed["shape"]).astype(TYPES[packed["dtype"]])


def heat(cell: np.ndarray, value: np.ndarray, n_cells: int) -> str:
    """One heatmap in bytes, in base64: the shortest of three encodings, named by the first byte.

    Values are eight bits, relative to the heatmap's own maximum and never rounded to zero. 0: one byte per cell.
    1: one byte per index, then one per value. 2: two bytes (little-endian) per index, then one per value. An empty
    string means that no cell is active.
    """
    if not len(cell):
        return ""
    level = np.clip(np.rint(value / value.max() * 255), 1, 255).astype(np.uint8)
    wide = n_cells > 256
    if len(cell) * (3 if wide else 2) >= n_cells:
        plane = np.zeros(n_cells, np.uint8)
        plane[cell] = level
        body = b"\0" + plane.tobytes()
    else:
        index = cell.astype("<u2" if wide else np.uint8)
        body = (b"\2" if wide else b"\1") + index.tobytes() + level.tobytes()
    return base64.b64encode(body).decode()


def unheat(text: str, n_cells: int) -> np.ndarray:
    """The inverse of `heat`: one level in 0..255 per cell.

    >>> [int(v) for v in unheat(heat(np.array([1, 3]), np.array([2.0, 4.0]), 9), 9)]
    [0, 128, 0, 255, 0, 0, 0, 0, 0]
    """
    plane = np.zeros(n_cells, np.uint8)
    if text:
        body = base64.b64decode(text)
        kind, rest = body[0], body[1:]
        if kind == 0:
            return np.frombuffer(rest, np.uint8)
        width = 2 if kind == 2 else 1
        n = len(rest) // (width + 1)
        plane[np.frombuffer(rest[: n * width], "<u2" if kind == 2 else np.uint8)] = np.frombuffer(
            rest[n * width :], np.uint8
        )
    return plane


def region(name: str, mask: np.ndarray, grid: tuple[int, int]) -> dict[str, Any]:
    """A named mask: run lengths over its pixels (row-major, starting with zeros) and its share of every patch.

    >>> region("a", np.array([[False, True], [False, True]]), (1, 2))["runs"]
    [1, 1, 1, 1]
    """
    flat = mask.ravel()
    changes = np.flatnonzero(flat != np.concatenate([[False], flat[:-1]]))
    runs = np.diff(np.concatenate([[0], changes, [flat.size]]))
    height, width = mask.shape
    row = np.arange(height) * grid[0] // height
    col = np.arange(width) * grid[1] // width
    cell = row[:, None] * grid[1] + col[None]
    n = grid[0] * grid[1]
    cover = np.bincount(cell.ravel(), flat, n) / np.maximum(np.bincount(cell.ravel(), minlength=n), 1)
    return {"name": name, "size": [height, width], "runs": runs.tolist(), "cover": array(np.rint(cover * 255), "u1")}


def script(name: str, payload: Any) -> str:
    """A data file: JSON inside a call, which is how a page opened from disk can load it.

    `<` is written as \\u003c so that a file pasted into a page cannot close its script element.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"{CALL}({json.dumps(name)},{inert(text)});\n"


def inert(text: str) -> str:
    """JSON that is harmless inside a script element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def unscript(text: str) -> Any:
    """The JSON inside a data file."""
    head, _, rest = text.partition(",")
    if not head.startswith(f"{CALL}(") or not rest.endswith(");\n"):
        raise FormatError(f"not a data file of a dashboard: it starts with {head[:60]!r}")
    return json.loads(rest[: -len(");\n")])
