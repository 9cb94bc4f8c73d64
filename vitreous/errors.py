"""Errors a user can cause. Each says what was given, what exists and what to do next.

Every class also inherits the builtin that a caller would expect, so ``except KeyError`` and ``except ValueError``
keep working.
"""

import difflib
from collections.abc import Iterable


class VitreousError(Exception):
    """The root of every error that this library raises on purpose."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class UnknownNameError(VitreousError, KeyError):
    """A name (model, hook point, metric, method, ...) that does not exist."""


class BadInputError(VitreousError, ValueError):
    """A value that cannot be used: a shape, a range, an image, a configuration."""


class FormatError(VitreousError, ValueError):
    """A file whose content is not what its format promises (damaged, truncated, wrong or missing keys)."""


class UnsupportedError(VitreousError, TypeError):
    """A class, architecture or option that this version does not support."""


class HookNotFiredError(VitreousError, RuntimeError):
    """A hook was placed on a point that the forward pass never reached."""


class MissingDependencyError(VitreousError, ImportError):
    """An optional package is needed and not installed."""


class NetworkError(VitreousError, ConnectionError):
    """Something must be downloaded and the network (or the hub) cannot be reached."""


class StoreError(VitreousError, OSError):
    """An activation store or checkpoint that cannot be written or read (full disk, read-only folder, bad shard)."""


def unknown(kind: str, given: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """The error for a misspelt name: lists the nearest matches, or everything when the list is short.

    >>> str(unknown("metric", "fuv", ["fvu", "l0"]))
    "unknown metric 'fuv'; did you mean 'fvu'? Known: fvu, l0"
    """
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    text = f"unknown {kind} {given!r}"
    if near:
        text += "; did you mean " + " or ".join(repr(n) for n in near) + "?"
    if known:
        shown = ", ".join(known[:24]) + (f", ... ({len(known)} in all)" if len(known) > 24 else "")
        text += ("" if near else ".") + f" Known: {shown}"
    return UnknownNameError(text + (f". {hint}" if hint else ""))
