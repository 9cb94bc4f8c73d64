"""Show what is inside a model: its hook points with their shapes, and its token map.

vitreous inspect vitreous/scenes-clip
vitreous inspect openai/clip-vit-base-patch32 --points 'vision.blocks.0.*'
"""

import argparse
from typing import Any

from vitreous.commands.screen import quiet, say, table

SHOWN = ("*blocks.0.*", "*embed*", "*ln_*", "*head*", "*proj*", "*pool*", "connector.*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL and which points."""
    parser.add_argument("model", metavar="MODEL", help="embedded name, local folder or hub id")
    parser.add_argument(
        "--points", metavar="PATTERN", help="glob of hook points; by default the first block and the outer ones"
    )
    parser.add_argument("--revision", help="branch, tag or commit on the hub")


def run(args: argparse.Namespace) -> None:
    """Load the model, run it once, print."""
    quiet()
    from vitreous.commands.load import hooked
    from vitreous.errors import unknown

    model = hooked(args.model, revision=args.revision)
    shapes = _shapes(model)
    patterns = [args.points] if args.points else list(SHOWN)
    names = [n for n in model.points() if any(n in model.points(p) for p in patterns)]
    if not names:
        raise unknown("hook point", patterns[0], model.points())
    say(f"[bold]{model.name}[/bold]  {type(model).__name__} around {type(model.native).__name__}")
    for prefix, tower in (model.towers() if hasattr(model, "towers") else {"": model}).items():
        say(f"{prefix or 'model.'} {_sizes(tower)}")
    if getattr(model, "missing", ""):
        say(f"no processor: {model.missing}")
    table("", ["hook point", "shape (batch 1)"], [[n, shapes.get(n, "runs only on request")] for n in names])
    if len(names) < len(model.points()):
        say(f"{len(names)} of {len(model.points())} points shown; all of them: --points '*'")


def _sizes(tower: Any) -> str:
    c = tower.cfg
    if not c.n_layers:
        return f"{type(tower.native).__name__} ({c.family})"
    kv = f", {c.n_key_value_heads} of keys and values" if c.n_key_value_heads else ""
    vocabulary = f", {c.d_vocab} logits" if c.d_vocab else ""
    return (
        f"{c.n_layers} layers, d_model {c.d_model}, {c.n_heads} heads of {c.d_head}{kv}, d_mlp {c.d_mlp}, "
        f"{_positions(tower)}{vocabulary}"
    )


def _positions(tower: Any) -> str:
    tokens = getattr(tower, "tokens", None)
    if tokens is None or tokens.grid == (0, 0):
        return f"up to {tower.cfg.n_ctx} text positions"
    special = [k for k in tokens.kind if k != "patch"]
    before = f"{len(special)} before the patches ({', '.join(dict.fromkeys(special))})" if special else "patches only"
    rows, cols = tokens.grid
    return f"{tokens.n} positions: {before}, grid {rows} x {cols} of {tokens.patch_size[0]} px patches"


def _shapes(model: Any) -> dict[str, str]:
    """Shape of every point on one blank image (and one word)."""
    import torch

    found: dict[str, str] = {}
    inputs = _prompt(model)
    if inputs is not None:
        with torch.no_grad():
            _, cache = model.run_with_cache(inputs, names_filter="*", use_cache=False)
        return {name: " ".join(map(str, value.shape)) for name, value in cache.items()}
    for prefix, tower in (model.towers() if hasattr(model, "towers") else {"": model}).items():
        inputs = _example(tower)
        if inputs is None:
            continue
        with torch.no_grad():
            _, cache = tower.run_with_cache(inputs, names_filter="*")
        found |= {prefix + name: " ".join(map(str, value.shape)) for name, value in cache.items()}
    return found


def _prompt(model: Any) -> Any:
    """A blank image and a word for a vision-language model; None for other models, and without a processor."""
    from PIL import Image

    if getattr(model, "connector", None) is None or model.processor is None or not hasattr(model, "preprocess"):
        return None
    return model.preprocess([Image.new("RGB", _side(model.vision), (128, 128, 128))], "a")


def _side(tower: Any) -> tuple[int, int]:
    side = tower.cfg.image_size
    return (side, side) if isinstance(side, int) else (side[1], side[0])


def _example(tower: Any) -> Any:
    """A blank image, or a word where there is a tokenizer; of a language model without one, two tokens."""
    import torch
    from PIL import Image

    from vitreous.errors import VitreousError
    from vitreous.hooked.connector import HookedConnector
    from vitreous.hooked.language import HookedLanguageModel

    if isinstance(tower, HookedConnector):
        return None  # runs with the whole model only
    if isinstance(tower, HookedLanguageModel) and tower.processor is None:
        return torch.ones(1, 2, dtype=torch.long)
    if hasattr(tower, "preprocess"):
        image = Image.new("RGB", _side(tower), (128, 128, 128))
        return tower.preprocess([image] * max(tower.cfg.n_frames, 1))  # type: ignore
    try:
        return tower.tokenize(["a"])  # type: ignore
    except VitreousError:
        return None
