"""From a record to a folder that opens by double click, with no server and no network.

```
index.html  app.js  app.css
data/manifest.js      schema version, provenance, columns, groups, shard map
data/table.js         every column of every latent, top pictures and small histograms
data/pictures_0000.js what is known of 4,096 pictures each
data/pixels_0000.js   pictures once more as data URIs, in small dashboards, for the export of PNGs
data/i_0000.js        all active latents of 16 images each, for the image view
data/f_0000.js        everything else of 256 latents each, loaded when one of them is looked at
data/map.js, data/compare.js, data/other_*.js   the map, and the dashboard that this one is compared with
img/<hash>.webp       every picture once
```

Every data file is JSON inside a one-line call; `dashboard.schema.json` next to this file describes them.
"""

import base64
import hashlib
import io
import shutil
from importlib import resources
from pathlib import Path

from PIL import Image

from vitreous.dashboards import wire
from vitreous.dashboards.payload import payloads
from vitreous.dashboards.record import Picture, Record
from vitreous.errors import BadInputError, StoreError

QUALITY = 80
COPIES_MB = 12.0  # up to this weight a folder also holds its pictures as data URIs, so that the page can export PNGs


def render(record: Record, out: str | Path) -> Path:
    """Write the dashboard of a record.

    Args:
        record: what to show.
        out: folder to write; made if missing. A dashboard that is already there is replaced, other files are left.

    Returns:
        The path of its `index.html`.

    Raises:
        BadInputError: `out` is a file, or a folder that holds something else than a dashboard under our names.
        StoreError: the folder cannot be written.
    """
    out = Path(out)
    _clear(out)
    try:
        (out / "data").mkdir(parents=True, exist_ok=True)
        (out / "img").mkdir(exist_ok=True)
        for name in ("index.html", "app.js", "app.css"):
            (out / name).write_bytes(resources.files("vitreous.dashboards").joinpath("static", name).read_bytes())
        files = _write_pictures(all_pictures(record), out / "img")
        copies = _copies(files[: len(record.pictures)], out / "img")
        for name, payload in payloads(record, files, copies=copies):
            (out / "data" / f"{name}.js").write_text(wire.script(name, payload), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the dashboard to {out}: {error}") from error
    return out / "index.html"


def all_pictures(record: Record) -> tuple[Picture, ...]:
    """The pictures of a record and of the one it is compared with."""
    return record.pictures + (record.comparison.other.pictures if record.comparison else ())


def _clear(out: Path) -> None:
    """Remove an older dashboard, and refuse to touch anything else."""
    if out.is_file():
        raise BadInputError(f"{out} is a file; give a folder for the dashboard")
    ours = (out / "data" / "manifest.js").is_file()
    for name in ("data", "img"):
        folder = out / name
        if folder.exists() and not ours and any(folder.iterdir()):
            raise BadInputError(f"{folder} exists and is not part of a dashboard; give another folder")
        if folder.exists() and ours:
            shutil.rmtree(folder)


def _write_pictures(pictures: tuple[Picture, ...], folder: Path) -> list[str | None]:
    """Write each distinct picture once; the file name of every picture."""
    files: list[str | None] = []
    for picture in pictures:
        if picture.image is None:
            files.append(None)
            continue
        data = webp(picture.image)
        name = hashlib.sha256(data).hexdigest()[:20] + ".webp"
        if not (folder / name).exists():
            (folder / name).write_bytes(data)
        files.append(name)
    return files


def _copies(files: list[str | None], folder: Path) -> list[str | None] | None:
    """The pictures as data URIs, unless they weigh too much: a page opened from disk cannot read image files back."""
    data = [None if name is None else (folder / name).read_bytes() for name in files]
    if sum(len(d) for d in data if d) > COPIES_MB * 1e6:
        return None
    return [None if d is None else uri(d) for d in data]


def uri(data: bytes) -> str:
    """A WebP picture as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def webp(image: Image.Image) -> bytes:
    """A picture in WebP, finer where it is small and will be shown enlarged."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY if max(image.size) > 96 else 94, method=4)
    return buffer.getvalue()
