"""Make a feature dashboard: a static folder that opens in a browser by double click, with no network.

  vitreous dashboard run/coder --store store --data scenes:3000 --out dashboard

On scenes, where the truth is known, latents are scored against every factor (colour=red, shape=ring, ...).
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from vitreous.commands.cache import DATA_HELP
from vitreous.commands.load import positive
from vitreous.commands.screen import quiet, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """CODER, its store, the pictures, place."""
    parser.add_argument("coder", metavar="CODER", help="folder of a coder")
    parser.add_argument("--store", required=True, metavar="STORE", help="activations to look at (vitreous cache)")
    parser.add_argument("--data", help=f"the images of the store (default: as the store says): {DATA_HELP}")
    parser.add_argument("--model", help="model, for its preprocessing (default: the coder's)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the dashboard goes")
    parser.add_argument("--top", type=positive, default=18, help="top images per latent (default: 18)")


def run(args: argparse.Namespace) -> None:
    """Collect, render, say where."""
    quiet()
    from vitreous.commands.load import coder, model_of, vision
    from vitreous.errors import BadInputError
    from vitreous.training import ActivationStore

    subject = coder(args.coder)
    store = ActivationStore(args.store)
    data = args.data or store.meta.get("data")
    if not data:
        raise BadInputError("the store does not say which images it was made from; pass --data")
    model = vision(model_of(subject, args.model))
    page = build(model, subject, store, data, Path(args.out), top=args.top)
    say(f"dashboard: {page}")


def build(
    model: Any, coder: Any, store: Any, data: str, out: Path, *, top: int = 18, names: dict[int, str] | None = None
) -> Path:
    """Collect and render, with the truth of the scenes where the data are scenes, and the model's own crop."""
    from vitreous.dashboards import collect, render
    from vitreous.data.images import named_scenes, open_items
    from vitreous.training.progress import track
    from vitreous.training.recovery import dashboard_factors

    scenes = named_scenes(data)
    factors = dashboard_factors(scenes[: len(store.image_ids)], store.grid) if scenes is not None else None
    with track("dashboard", None, True) as advance:
        before: dict[str, int] = {}

        def report(what: str, done: int, total: int) -> None:
            advance(done - before.get(what, 0), f"{what} {done:,} / {total:,}")
            before[what] = done

        record = collect(
            coder,
            store,
            open_items(data),
            factors=factors,
            view=lambda image: model.unprocess(model.preprocess(image))[0],
            regions=None if scenes is None else partial(_objects, scenes),
            top=top,
            names=names,
            header={"data": data, "model": model.name},
            progress=report,
        )
    return render(record, out)


def _objects(scenes: Any, image_id: str) -> list[Any]:
    """The objects of the scene with this id (`scene-SEED-INDEX`), as regions."""
    from vitreous.dashboards.record import Region
    from vitreous.data.language import phrase

    scene = scenes[int(image_id.rsplit("-", 1)[1])]
    names = [phrase(o, "size", "texture", "colour") for o in scene.objects]
    return [Region(name, mask) for name, mask in zip(names, scene.masks, strict=True)]
