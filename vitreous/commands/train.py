"""Train a TopK sparse autoencoder on a store that `vitreous cache` made.

  vitreous train store --latents 384 --k 20 --out run
  vitreous train store --point blocks.4.hook_resid_post --epochs 4 --wandb my-project --out run

Killed at any moment, the same command continues from its last checkpoint and ends with the same weights.
"""

import argparse
from typing import Any

from vitreous.commands.load import positive
from vitreous.commands.screen import quiet, say, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """STORE, the coder, the schedule, logging."""
    parser.add_argument("store", metavar="STORE", help="folder of an activation store")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the run: checkpoints, metrics.csv, the coder")
    parser.add_argument("--point", metavar="POINT", help="hook point (default: the only one in the store)")
    parser.add_argument("--latents", type=positive, help="number of latents (default: 8 times the width)")
    parser.add_argument(
        "--k",
        type=positive,
        nargs="+",
        default=[32],
        help="active latents per token; several values train several coders on one pass (default: 32)",
    )
    parser.add_argument("--epochs", type=positive, default=4, help="passes over the store (default: 4)")
    parser.add_argument("--batch-size", type=positive, default=1024, help="rows per step (default: 1024)")
    parser.add_argument("--lr", type=float, help="peak learning rate (default: by the number of latents)")
    parser.add_argument(
        "--normalise", default="none", help="what to do to inputs first (default: none); see vitreous.sae.Normalisation"
    )
    parser.add_argument("--checkpoint-every", type=positive, default=500, metavar="STEPS", help="(default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the order (default: 0)")
    parser.add_argument("--wandb", metavar="PROJECT", help="log to Weights & Biases")
    parser.add_argument(
        "--wandb-mode",
        default="online",
        choices=("online", "offline"),
        help="offline writes to ./wandb (default: online)",
    )


def run(args: argparse.Namespace) -> None:
    """Train and show the last figures."""
    quiet()
    from vitreous.training import ActivationStore

    store = ActivationStore(args.store)
    wandb = {"project": args.wandb, "mode": args.wandb_mode} if args.wandb else None
    trained = fit(
        store,
        args.out,
        point=args.point,
        latents=args.latents,
        ks=args.k,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        normalise=args.normalise,
        seed=args.seed,
        checkpoint_every=args.checkpoint_every,
        wandb=wandb,
    )
    if trained.resumed_at:
        say(f"continued after step {trained.resumed_at:,}")
    last = {row.get("coder", "coder"): row for row in trained.rows}
    columns = ("coder", "step", "fvu", "l0", "dead")
    if last:
        table("", columns, [[name, *(row[c] for c in columns[1:])] for name, row in last.items()])
    for name in trained.coders:
        say(f"coder in {args.out}/{name}")
    say(f"next: vitreous evaluate {args.out}/{next(iter(trained.coders))} --data {store.meta.get('data', 'DATA')}")


def fit(
    store: Any,
    out: Any,
    *,
    point: str | None = None,
    latents: int | None = None,
    ks: list[int],
    epochs: int,
    batch_size: int,
    lr: float | None = None,
    normalise: str = "none",
    seed: int = 0,
    checkpoint_every: int = 500,
    wandb: dict[str, Any] | None = None,
) -> Any:
    """One TopK SAE per value of k on one point of a store."""
    from vitreous.errors import BadInputError, unknown
    from vitreous.sae import Normalisation, SparseCoder, TopK
    from vitreous.training import Batches, TrainConfig, train

    if point is None and len(store.points) > 1:
        raise BadInputError(f"the store holds several points, choose one with --point: {', '.join(store.points)}")
    chosen: str = point or store.points[0]
    if chosen not in store.points:
        raise unknown("hook point of the store", chosen, store.points)
    d = store.d(chosen)
    about = {
        "model": store.meta.get("model"),
        "hook_point": chosen,
        "tokens": store.meta.get("tokens"),
        "data": store.meta.get("data"),
        "store": store.content_hash,
    }
    coders = {}
    for k in ks:
        coders["coder" if len(ks) == 1 else f"k{k}"] = SparseCoder(
            d, latents or 8 * d, TopK(k=k), normalisation=Normalisation(normalise), seed=seed, meta=dict(about)
        )
    batches = Batches(store, batch_size, seed=seed, epochs=epochs, points=[chosen])
    config = TrainConfig(lr=lr, checkpoint_every=checkpoint_every, dead_after=max(100_000, store.n_rows // 2))
    return train(coders, batches, config, out=out, progress=True, wandb=wandb)
