"""The commands of the command line, one module each: `add_arguments(parser)` and `run(args)`.

Nothing heavy is imported before `run`, so that `vitreous --help` answers at once.
"""

COMMANDS: dict[str, str] = {
    "quickstart": "from images to a feature dashboard in one go, on an embedded model",
    "models": "which models are embedded, and which architectures can be hooked",
    "inspect": "hook points, shapes and token map of a model",
    "cache": "store the activations of a model on images",
    "train": "train a sparse coder on stored activations",
    "evaluate": "measure a coder: reconstruction, zero-shot accuracy, factor recovery",
    "dashboard": "make a feature dashboard: a folder that opens in a browser, offline",
}
"""Name -> what it does. The module has the same name."""
