"""List the embedded models, which work without a network, and the architectures that can be hooked.

A model to work on is named by an embedded name (vitreous/...), a local folder in the transformers format, or a
Hugging Face id.
"""

import argparse
import json
from typing import Any

from vitreous.commands.screen import quiet, say, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but --json."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def towers(family: Any) -> list[str]:
    """What a vision-language family exposes, as the names of its points begin."""
    parts = {"vision": family.vision, "connector": family.connector, "language": family.language}
    return [f"{name}." for name, path in parts.items() if path]


def run(args: argparse.Namespace) -> None:
    """Print the tables."""
    quiet()
    from vitreous.hooked import FAMILIES, VLM_FAMILIES
    from vitreous.hooked.family import beyond
    from vitreous.hooked.loading import embedded, locate, read_config

    rows = []
    for name in embedded():
        config = read_config(locate(name))
        vision = config.get("vision_config", config)
        rows.append(
            {
                "name": name,
                "class": (config.get("architectures") or ["?"])[0],
                "image": vision.get("image_size"),
                "patch": vision.get("patch_size"),
                "layers": vision.get("num_hidden_layers"),
                "width": vision.get("hidden_size"),
            }
        )
    families = [
        {"family": f.name, "kind": f.kind, "native classes": list(f.classes), "more points": beyond(f)}
        | {"example": list(f.example)}
        for f in FAMILIES
    ]
    vlms = [
        {"family": f.name, "native classes": list(f.classes), "towers": towers(f), "example": list(f.example)}
        for f in VLM_FAMILIES
    ]
    if args.json:
        print(json.dumps({"embedded": rows, "vision-language": vlms, "families": families}, indent=1))
        return
    columns = ["name", "class", "image", "patch", "layers", "width"]
    table("Embedded models", columns, [[row[c] for c in columns] for row in rows])
    lines = "\n".join
    table(
        "Vision-language models (any checkpoint of these classes: local folder or hub id)",
        ["family", "native classes", "towers", "for example"],
        [[f["family"], lines(f["native classes"]), lines(f["towers"]), lines(f["example"])] for f in vlms],
    )
    table(
        "Towers: encoders by themselves (also LIBRARY:ARCHITECTURE), and the parts of vision-language models",
        ["family", "kind", "native classes", "points beyond the usual", "for example"],
        [
            [f["family"], f["kind"], lines(f["native classes"]), lines(f["more points"]), lines(f["example"])]
            for f in families
        ],
    )
    say("vitreous inspect MODEL shows the hook points of one.")
