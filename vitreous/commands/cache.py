"""Store the activations of a model on images: one row per token, with where it came from.

  vitreous cache vitreous/scenes-clip --data scenes:3000 --point blocks.4.hook_resid_post --out store
  vitreous cache openai/clip-vit-base-patch32 --data photos/ --point blocks.9.hook_resid_post --tokens patch --out store

Interrupted, the same command goes on where it stopped. Images that cannot be read are skipped and reported.
"""

import argparse
from typing import Any

from vitreous.commands.load import positive
from vitreous.commands.screen import quiet, say

DATA_HELP = "folder, zip file, scenes:N, skimage-tiles, or a Hugging Face data set (name:split)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL, data, points, place."""
    parser.add_argument("model", metavar="MODEL", help="embedded name, local folder or hub id")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--point", required=True, nargs="+", metavar="POINT", help="hook points; see vitreous inspect")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the store goes")
    parser.add_argument("--tokens", default="patch", help="patch, cls, register or all (default: patch)")
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "bfloat16", "float16"), help="type on disk (default: float32)"
    )
    parser.add_argument("--batch-size", type=positive, default=64, help="images per forward pass (default: 64)")
    parser.add_argument("--limit", type=positive, help="at most this many images")
    parser.add_argument("--revision", help="branch, tag or commit of the model on the hub")


def run(args: argparse.Namespace) -> None:
    """Harvest and say what was stored."""
    quiet()
    from vitreous.commands.load import vision
    from vitreous.data.images import open_items
    from vitreous.training import harvest

    items = open_items(args.data)
    model = vision(args.model, args.revision)
    points = [p.removeprefix("vision.") for p in args.point]
    store = harvest(
        model,
        items,
        args.out,
        points,
        tokens=args.tokens,
        dtype=args.dtype,
        batch_size=args.batch_size,
        limit=args.limit,
        progress=True,
        meta={"data": args.data},
    )
    report(store)
    say(f"next: vitreous train {args.out} --out run")


def report(store: Any) -> None:
    """What a store holds, and which images were skipped."""
    widths = ", ".join(f"{p} ({store.d(p)})" for p in store.points)
    say(
        f"{store.n_rows:,} rows of {widths} from {len(store.image_ids) - len(store.skipped):,} images in {store.folder}"
    )
    for entry in store.skipped[:5]:
        say(f"  skipped {entry['id']}: {entry['error']}")
    if len(store.skipped) > 5:
        say(f"  and {len(store.skipped) - 5:,} more; all of them in store.skipped")
