"""From images to a feature dashboard in one go, on an embedded model: no network, no account, no GPU, some minutes.

  vitreous quickstart                  procedurally drawn scenes, where every latent can be scored
  vitreous quickstart --data photos    real photographs (samples of scikit-image and scikit-learn, cut into tiles)

Runs the steps cache, train, evaluate and dashboard. Interrupted, the same command goes on where it stopped.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from vitreous.commands.screen import quiet, say, table


@dataclass(frozen=True)
class Plan:
    """What the quickstart does for one kind of data."""

    model: str
    data: str
    held_out: str
    point: str
    latents: int
    k: int
    epochs: int
    n_scenes: int = 300


PLANS = {
    "scenes": Plan(
        "vitreous/scenes-clip",
        "scenes:3000?seed=4242",
        "scenes:400?seed=4243&n_objects=1",
        "blocks.4.hook_resid_post",
        384,
        20,
        12,
    ),
    "photos": Plan(
        "vitreous/photos-clip", "skimage-tiles", "skimage-tiles?size=96", "blocks.4.hook_resid_post", 768, 16, 12
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data, where to."""
    parser.add_argument("--data", default="scenes", choices=tuple(PLANS), help="what to look at (default: scenes)")
    parser.add_argument(
        "--out", default=None, metavar="FOLDER", help="where everything goes (default: quickstart-DATA)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the coder's weights and of the order (default: 0)")


def run(args: argparse.Namespace) -> None:
    """All steps, then the table and the path of the dashboard."""
    quiet()
    began = time.perf_counter()
    from vitreous.commands.cache import report
    from vitreous.commands.dashboard import build
    from vitreous.commands.evaluate import measure, rows_of
    from vitreous.commands.load import hooked
    from vitreous.commands.train import fit
    from vitreous.data.images import open_items
    from vitreous.training import harvest

    plan, out = PLANS[args.data], Path(args.out or f"quickstart-{args.data}")
    say(f"[bold]1/4[/bold] activations of {plan.model} at {plan.point} on {plan.data}")
    model = hooked(plan.model, ("vision",))
    store = harvest(
        model.vision, open_items(plan.data), out / "store", [plan.point], progress=True, meta={"data": plan.data}
    )
    report(store)
    say(f"[bold]2/4[/bold] a TopK sparse autoencoder: {plan.latents:,} latents, {plan.k} active per patch")
    trained = fit(
        store, out / "run", latents=plan.latents, ks=[plan.k], epochs=plan.epochs, batch_size=1024, seed=args.seed
    )
    coder = trained.coders["coder"].eval()
    say("[bold]3/4[/bold] what it is worth")
    result = measure(model, coder, plan.held_out, limit=400, n_scenes=plan.n_scenes)
    coder.meta["metrics"] = {name: value for name, value, _ in rows_of(result)}
    coder.save(out / "coder")
    say("[bold]4/4[/bold] the dashboard")
    names = {int(latent): name for latent, name in result.get("factors", {}).get("names", {}).items()}
    page = build(model.vision, coder, store, plan.data, out / "dashboard", names=names)
    table(f"{plan.model} at {plan.point}", ["metric", "value", "what it means"], rows_of(result))
    say(f"[bold]dashboard[/bold]  {page.resolve()}")
    say(f"open it in a browser; no server and no network needed. {time.perf_counter() - began:.0f} s in all.")
    say("next: your own model and images, with vitreous cache MODEL --data FOLDER (see vitreous --help)")
