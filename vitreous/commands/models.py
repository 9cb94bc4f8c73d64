"""List the embedded models, which work without a network, and the architectures that can be hooked.

A model to work on is named by an embedded name (vitreous/...), a local folder in the transformers format, or a
Hugging Face id.
"""

import argparse
import json

from vitreous.commands.screen import quiet, say, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None but --json."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(args: argparse.Namespace) -> None:
    """Print both tables."""
    quiet()
    from vitreous.hooked import FAMILIES
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
        {"family": f.name, "kind": f.kind, "native classes": list(f.classes), "example": list(f.example)}
        for f in FAMILIES
    ]
    if args.json:
        print(json.dumps({"embedded": rows, "families": families}, indent=1))
        return
    columns = ["name", "class", "image", "patch", "layers", "width"]
    table("Embedded models", columns, [[row[c] for c in columns] for row in rows])
    table(
        "Architectures (any checkpoint of these classes: local folder, hub id, or LIBRARY:ARCHITECTURE)",
        ["family", "kind", "native classes", "for example"],
        [[f["family"], f["kind"], "\n".join(f["native classes"]), "\n".join(f["example"])] for f in families],
    )
    say("vitreous inspect MODEL shows the hook points of one.")
