"""One HTML file with everything inside, to mail or attach."""

import base64
import hashlib
import json
import re
from importlib import resources
from pathlib import Path

from vitreous.dashboards import wire
from vitreous.dashboards.payload import payloads
from vitreous.dashboards.record import Record
from vitreous.dashboards.render import all_pictures, uri, webp
from vitreous.errors import BadInputError, StoreError

BUDGET_MB = 60.0


def render_single(record: Record, path: str | Path, *, budget_mb: float = BUDGET_MB) -> Path:
    """Write a dashboard as one HTML file.

    Data sit in inert script elements and pictures in data URIs; the policy in the page allows the one script by its
    hash and nothing else.

    Args:
        record: what to show.
        path: the file to write.
        budget_mb: refuse to write more than this many megabytes.

    Raises:
        BadInputError: over the budget; says what the parts weigh and what to cut.
        StoreError: the file cannot be written.
    """
    uris = [None if p.image is None else uri(webp(p.image)) for p in all_pictures(record)]
    data = {name: json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            for name, value in payloads(record, uris)}  # fmt: skip
    _check(data, uris, budget_mb)
    blocks = [
        f'<script type="application/json" id="data:{name}">{wire.inert(text)}</script>' for name, text in data.items()
    ]
    page = _page("\n".join(blocks))
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the dashboard to {path}: {error}") from error
    return Path(path)


def _check(data: dict[str, str], uris: list[str | None], budget_mb: float) -> None:
    total = sum(len(text.encode()) for text in data.values()) / 1e6
    if total <= budget_mb:
        return
    pictures = sum(len(uri) for uri in uris if uri) / 1e6
    codes = sum(len(text) for name, text in data.items() if name.startswith("i_")) / 1e6
    raise BadInputError(
        f"one file would weigh {total:.1f} MB, over the budget of {budget_mb:g} MB: pictures {pictures:.1f} MB, codes "
        f"for the image view {codes:.1f} MB, latents {total - pictures - codes:.1f} MB. Collect fewer examples (top, "
        "per_group), smaller thumbnails or fewer explorable images (explore), or write a folder"
    )


def _page(blocks: str) -> str:
    """index.html with the style, the script and the data in it."""
    static = resources.files("vitreous.dashboards").joinpath("static")
    html, script, style = (static.joinpath(n).read_text(encoding="utf-8") for n in ("index.html", "app.js", "app.css"))
    assert "</script" not in script
    assert "</style" not in style
    html = re.sub(r"script-src 'self'; style-src 'self'", f"script-src {_hash(script)}; style-src {_hash(style)}", html)
    html = html.replace('<link rel="stylesheet" href="app.css">', f"<style>{style}</style>")
    return html.replace('<script src="app.js"></script>', f"{blocks}\n<script>{script}</script>")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
