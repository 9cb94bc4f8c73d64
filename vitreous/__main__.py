"""The command line: `vitreous COMMAND --help`."""

import argparse
import importlib
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from vitreous import __version__
from vitreous.commands import COMMANDS
from vitreous.errors import BadInputError, VitreousError, unknown

EPILOG = """\
The steps of `vitreous quickstart`, one by one:

  vitreous cache vitreous/scenes-clip --data scenes:3000 --point blocks.4.hook_resid_post --out store
  vitreous train store --latents 384 --k 20 --out run
  vitreous evaluate run/coder --data scenes:500
  vitreous dashboard run/coder --store store --data scenes:3000 --out dashboard

Your own model or data: change the name. A name is an embedded model (vitreous/...), a folder in the transformers
format, or a Hugging Face id (openai/clip-vit-base-patch32). Options can stand in a YAML file: --config FILE.
"""


class Parser(argparse.ArgumentParser):
    """Errors name the help that would have answered them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n{' ' * len(self.prog)}  see {self.prog} --help\n")


def parser(command: str | None = None) -> Parser:
    """The parser; with the options of one command, or of none (the overview)."""
    top = Parser(
        prog="vitreous",
        description="Look inside Vision Transformers and vision-language models with sparse autoencoders.",
        epilog=EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=16, width=100),
    )
    top.add_argument("--version", action="version", version=f"vitreous {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == command:
            module = importlib.import_module(f"vitreous.commands.{name}")
            sub.description = (module.__doc__ or "").strip()
            sub.formatter_class = partial(argparse.RawDescriptionHelpFormatter, max_help_position=30, width=110)
            module.add_arguments(sub)
            sub.add_argument(
                "--config", metavar="FILE", help="YAML file with any of these options; the command line wins"
            )
            sub.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    return top


def configured(argv: list[str], command: str) -> argparse.Namespace:
    """Parse a command's options; those in the YAML file of --config become defaults.

    Raises:
        BadInputError: the file cannot be read or is not a mapping.
        UnknownNameError: it sets an option that the command does not have.
    """
    top = parser(command)
    sub = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction)).choices[command]
    given = _option(argv, "--config")
    if given is not None:
        actions = {a.dest: a for a in sub._actions if a.dest not in ("help", "config")}
        for key, value in _yaml(Path(given)).items():
            name = str(key).replace("-", "_")
            if name not in actions:
                raise unknown(f"option in {given}", str(key), [n.replace("_", "-") for n in actions])
            _preset(sub, actions[name], value, given)
    return top.parse_args(argv)


def _option(argv: list[str], name: str) -> str | None:
    for i, word in enumerate(argv):
        if word == name and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return None


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"cannot read the configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BadInputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise BadInputError(f"{path} must be a mapping of option: value")
    return data


def _preset(sub: argparse.ArgumentParser, action: argparse.Action, value: Any, file: str) -> None:
    """Make `value` the default of an option, checked as the command line would check it."""
    many = action.nargs in ("+", "*") or isinstance(action, argparse._AppendAction)
    values = value if isinstance(value, list) and many else [value]
    if not isinstance(action.type, type(None)) and callable(action.type):
        try:
            values = [v if v is None else action.type(str(v)) for v in values]
        except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
            raise BadInputError(f"{file}: {action.dest} = {value!r} is not valid: {error}") from error
    if action.choices is not None and any(v not in action.choices for v in values):
        raise BadInputError(f"{file}: {action.dest} = {value!r}; choose from {', '.join(map(str, action.choices))}")
    action.required = False
    if not action.option_strings and action.nargs is None:
        action.nargs = "?"
    sub.set_defaults(**{action.dest: values if many else values[0]})
    action.default = values if many else values[0]


def main(argv: list[str] | None = None) -> int:
    """Run one command; a user's mistake ends in one line on stderr and exit status 2."""
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), None)
    if command is None or command not in COMMANDS:
        args = parser().parse_args(argv)
        parser().print_help()
        return 0 if args.command is None and not argv else 2
    try:
        args = configured(argv, command)
        if args.debug:
            return _run(command, args)
        return _guarded(command, args)
    except VitreousError as error:
        print(f"vitreous {command}: {error}", file=sys.stderr)
        return 2


def _run(command: str, args: argparse.Namespace) -> int:
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning)
    return int(importlib.import_module(f"vitreous.commands.{command}").run(args) or 0)


def _guarded(command: str, args: argparse.Namespace) -> int:
    try:
        return _run(command, args)
    except KeyboardInterrupt:
        print(f"\nvitreous {command}: interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


if __name__ == "__main__":
    sys.exit(main())
