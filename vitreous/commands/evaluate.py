"""Measure a coder on images: reconstruction, what it costs the model, and factor recovery on scenes.

  vitreous evaluate run/coder --data scenes:500
  vitreous evaluate run/coder --data photos/ --template 'a photo of a {}' --json result.json

Zero-shot accuracy and cross-entropy (with the model's own logit scale) need a model with a text tower. Classes are the
labels of the data; where it has none, the classes of --classes, and the clean model's answer counts as right.
Factor recovery is measured on scenes of the model's own size (--factors, on for the embedded scenes model).
"""

import argparse
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from vitreous.commands.cache import DATA_HELP
from vitreous.commands.load import positive
from vitreous.commands.screen import quiet, say, table
from vitreous.errors import BadInputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """CODER, data, what to measure."""
    parser.add_argument("coder", metavar="CODER", help="folder of a coder")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--model", help="model to run (default: the coder's)")
    parser.add_argument("--limit", type=positive, default=500, help="at most this many images (default: 500)")
    parser.add_argument("--batch-size", type=positive, default=64, help="images per forward pass (default: 64)")
    parser.add_argument(
        "--template", default=None, help="prompt of a class (default: 'a photo of a {}', scenes: 'a {}')"
    )
    parser.add_argument("--classes", nargs="+", help="class names (default: the labels of the data)")
    parser.add_argument(
        "--factors",
        action=argparse.BooleanOptionalAction,
        help="factor recovery on scenes (default: if data are scenes)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON, with definitions")


def run(args: argparse.Namespace) -> None:
    """Measure, print, write."""
    quiet()
    from vitreous.commands.load import coder, hooked, model_of

    subject = coder(args.coder)
    model = hooked(model_of(subject, args.model), ("vision",))
    result = measure(
        model,
        subject,
        args.data,
        limit=args.limit,
        batch_size=args.batch_size,
        template=args.template,
        classes=args.classes,
        factors=args.factors,
    )
    table(f"{args.coder} on {args.data}", ["metric", "value", "what it means"], rows_of(result))
    if "factors" in result:
        factor_table(result["factors"])
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        say(f"written: {args.json}")


def measure(
    model: Any,
    coder: Any,
    data: str,
    *,
    limit: int = 500,
    batch_size: int = 64,
    template: str | None = None,
    classes: list[str] | None = None,
    factors: bool | None = None,
    n_scenes: int = 300,
) -> dict[str, Any]:
    """Everything that can be measured with this model and these data, as plain data.

    Args:
        model: a hooked vision model, or a dual encoder (then zero-shot figures are measured, too).
        coder: an SAE on one of its points.
        data: images by name.
        limit: at most this many images.
        batch_size: images per forward pass.
        template: prompt of a class, with one {}.
        classes: class names; the labels of the data by default.
        factors: measure factor recovery; by default when the data are scenes.
        n_scenes: scenes to choose units on, and as many to score them on.
    """
    import tempfile

    from vitreous.data.images import named_scenes, open_items
    from vitreous.training import harvest
    from vitreous.training.evaluate import downstream_report, reconstruction_report
    from vitreous.training.recovery import recover_factors

    scenes = named_scenes(data)
    tower = getattr(model, "vision", model)
    point, tokens = str(coder.meta["hook_point"]), str(coder.meta.get("tokens") or "patch")
    result: dict[str, Any] = {"data": data, "coder": dict(coder.meta)}
    with tempfile.TemporaryDirectory() as folder:
        store = harvest(
            tower, open_items(data), folder, [point], tokens=tokens, batch_size=batch_size, limit=limit, progress=True
        )
        report = reconstruction_report(coder, store)
        mean = store.read(point).float().mean(0)
    result["reconstruction"] = {k: v for k, v in report.items() if k != "density"}
    if hasattr(model, "zero_shot"):
        items = list(islice(open_items(data), limit))
        prompts, items, truth = _task(model, items, classes, template or ("a {}" if scenes is not None else None))
        scores = downstream_report(
            model, coder, items, prompts, mean=mean, tokens=tokens, batch_size=batch_size, progress=True
        )
        result["downstream"] = scores | {"n_classes": len(prompts), "truth": truth}
    if factors or (factors is None and scenes is not None):
        say(f"factor recovery on {2 * n_scenes} scenes")
        found = recover_factors(model, coder, n_fit=n_scenes, n_test=n_scenes, batch_size=batch_size, progress=True)
        result["factors"] = found.to_json() | {"names": {str(k): v for k, v in found.names().items()}}
    return result


def _task(
    model: Any, items: list[Any], classes: list[str] | None, template: str | None
) -> tuple[dict[str, str], list[Any], str]:
    """Prompts, labelled images, and what counts as right: the labels, or the clean model's own answer."""
    import torch

    known = vocabulary(model.name)
    labels = sorted({item.label for item in items if item.label is not None})
    names = classes or known.get("classes") or labels
    if not names:
        raise BadInputError("the images have no labels: name the classes with --classes")
    prompt = template or known.get("template") or "a photo of a {}"
    if prompt.count("{}") != 1:
        raise BadInputError(f"the template {prompt!r} must have one {{}} for the class name")
    prompts = {name: prompt.format(name) for name in names}
    if any(item.label in prompts for item in items):
        return prompts, items, "labels of the data"
    embedded, answered = model.zero_shot(prompts), []
    with torch.no_grad():
        for start in range(0, len(items), 64):
            part = items[start : start + 64]
            best = model.logits(model.preprocess([item.image for item in part]), embedded).argmax(1).tolist()
            answered += [replace(item, label=names[i]) for item, i in zip(part, best, strict=True)]
    return prompts, answered, "the clean model's answers"


def vocabulary(model: str) -> dict[str, Any]:
    """Classes and template that come with an embedded model; empty for every other."""
    from vitreous.hooked.loading import locate

    source = locate(model)
    path = Path(source.path) / "classes.json"
    return json.loads(path.read_text(encoding="utf-8")) if source.local and path.is_file() else {}


def rows_of(result: dict[str, Any]) -> list[tuple[str, float, str]]:
    """The headline figures as (metric, value, what it means)."""
    r = result["reconstruction"]
    rows = [
        ("L0", r["l0"], "active latents per token"),
        ("FVU", r["fvu"], "variance not explained; 0 is perfect"),
        ("cosine", r["cosine"], "of activation and reconstruction"),
        ("dead", r["dead"], "share of latents that never fired here"),
    ]
    if "downstream" in result:
        d = result["downstream"]
        rows += [
            ("top-1 clean", d["accuracy_clean"], f"zero-shot over {d['n_classes']} classes; right: {d['truth']}"),
            ("top-1 spliced", d["accuracy_reconstruction"], "with the reconstruction in the activation's place"),
            ("top-1 mean-ablated", d["accuracy_mean"], "with the mean activation in its place"),
            ("top-1 zero-ablated", d["accuracy_zero"], "with zeros in its place"),
            ("cross-entropy clean", d["cross_entropy_clean"], "nats, with the model's own logit scale"),
            ("cross-entropy spliced", d["cross_entropy_reconstruction"], "nats"),
            ("recovered vs mean", d["cross_entropy_recovered_mean"], "1: as good as clean; 0: as the mean"),
            ("recovered vs zero", d["cross_entropy_recovered_zero"], "1: as good as clean; 0: as zeros"),
        ]
    if "factors" in result:
        f = result["factors"]
        n = len(f["readable"])
        for method, text in METHODS.items():
            rows.append((f"factor F1, {method}", f["mean_f1_readable"][method], f"{text}; mean of {n} factors"))
    return rows


METHODS = {
    "sae": "best single latent",
    "neurons": "best single MLP neuron",
    "pca": "best principal direction",
    "random": "best random direction",
    "probe": "linear probe, the ceiling",
}


def factor_table(found: dict[str, Any]) -> None:
    """F1 and AUROC of every factor and method; factors that the probe does not read well are marked."""
    columns = ["factor", "base rate", *(f"{m} F1" for m in METHODS), *(f"{m} AUROC" for m in METHODS)]
    rows = []
    for i, name in enumerate(found["factors"]):
        shown = name if name in found["readable"] else f"{name} *"
        rows.append(
            [
                shown,
                found["base_rate"][i],
                *(found["f1"][m][i] for m in METHODS),
                *(found["auroc"][m][i] for m in METHODS),
            ]
        )
    rows.append(
        [
            "mean (without *)",
            "",
            *(found["mean_f1_readable"][m] for m in METHODS),
            *(found["mean_auroc_readable"][m] for m in METHODS),
        ]
    )
    table("Factor recovery (* not readable by a linear probe: AUROC below 0.9)", columns, rows)
