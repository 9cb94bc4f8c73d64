"""From a name to where a model is and what it is: embedded models, local folders and hub ids."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import nn

from vitreous.errors import (
    BadInputError,
    FormatError,
    NetworkError,
    UnknownNameError,
    UnsupportedError,
    VitreousError,
    unknown,
)
from vitreous.hooked.families import FAMILIES, VLM_FAMILIES
from vitreous.hooked.family import Entry, Family, VLMFamily, class_of
from vitreous.hooked.name import resolve
from vitreous.hooked.wiring import find, find_layers

EMBEDDED = "vitreous/"


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: as the user gave it.
        path: local folder or hub id, as `from_pretrained` takes it.
        local: whether it is a folder.
        revision: branch, tag or commit on the hub.
        library: which loads it: `transformers`, `timm` or `open_clip`.
        tag: of an architecture of timm or open_clip: the name of its weights, or a weights file.
        hub: whether `path` is a hub id.
    """

    name: str
    path: str
    local: bool
    revision: str | None = None
    library: str = "transformers"
    tag: str = ""
    hub: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What to pass on to `from_pretrained`."""
        return {} if self.local or self.revision is None else {"revision": self.revision}


def embedded() -> list[str]:
    """Names of the models that come with the package, e.g. `vitreous/scenes-clip`."""
    assets = files("vitreous").joinpath("pretrained", "assets")
    if not assets.is_dir():
        return []
    return sorted(EMBEDDED + d.name for d in assets.iterdir() if d.is_dir() and d.joinpath("config.json").is_file())


def locate(name: str, revision: str | None = None) -> Source:
    """Finds the folder, hub id or architecture that a name means (see `vitreous.hooked.name.resolve`).

    Raises:
        UnknownNameError: for an embedded model that does not exist.
        UnsupportedError: for a model that cannot be had.
        BadInputError: for a folder that does not exist or holds no model.
    """
    name = str(name)
    if name.startswith(EMBEDDED):
        if name not in embedded():
            raise unknown("embedded model", name, embedded())
        return Source(name, str(files("vitreous").joinpath("pretrained", "assets", name.removeprefix(EMBEDDED))), True)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if (folder / "open_clip_config.json").is_file():
            return Source(name, str(folder), True, library="open_clip")
        if not (folder / "config.json").is_file():
            raise BadInputError(f"{name} is a folder without config.json; save a model there with save_pretrained")
        library = "timm" if "architecture" in read_config(Source(name, str(folder), True)) else "transformers"
        return Source(name, str(folder), True, library=library)
    if folder.exists() or name.startswith((".", "/", "~")) or (name.count("/") > 1 and ":" not in name):
        raise BadInputError(f"{name} is not a folder; give a folder with config.json, a hub id, or one of {embedded()}")
    found = resolve(name)
    return Source(name, found.path, False, revision, found.library, found.tag, found.hub)


def read_config(source: Source) -> dict[str, Any]:
    """The model's config.json.

    Raises:
        NetworkError: if it must be downloaded and cannot be.
        UnknownNameError: if the hub has no such model.
        FormatError: if it is not JSON.
    """
    file = Path(source.path) / "config.json" if source.local else download(source, "config.json")
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise FormatError(f"{file} is not JSON: {error}") from error


def download(source: Source, file: str) -> Path:
    """A file of a hub model, from the cache or the hub, which is asked once before the download, to fail at once."""
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        cached = try_to_load_from_cache(source.path, file, revision=source.revision)
        if isinstance(cached, str) and constants.HF_HUB_OFFLINE:
            return Path(cached)
        if constants.HF_HUB_OFFLINE:
            raise offline(source)
        HfApi().model_info(source.path, revision=source.revision, timeout=10)
        return Path(hf_hubdownload(source.path, file, revision=source.revision))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UnknownNameError(
            f"the Hugging Face hub has no model {source.name!r} that you can read; embedded models: {embedded()}"
        ) from error
    except HfHubHTTPError as error:
        raise NetworkError(f"the Hugging Face hub would not give {file} of {source.name!r}: {error}") from error
    except VitreousError:
        raise
    except Exception as error:  # connection errors of whichever HTTP library the hub client uses
        raise offline(source) from error


def offline(source: Source) -> NetworkError:
    """One line on what to do without a network."""
    return NetworkError(
        f"cannot download {source.name!r}: the Hugging Face hub cannot be reached (or HF_HUB_OFFLINE is set) and it is "
        f"not in the local cache. Use an embedded model ({', '.join(embedded()) or 'none here'}), pass a local folder, "
        "or connect once to fill the cache."
    )


def family_of(class_name: str, kind: str) -> tuple[Family, Entry] | None:
    """The family of one kind that knows a native class."""
    for family in FAMILIES:
        if family.kind == kind and class_name in family.classes:
            return family, family.classes[class_name]
    return None


def family_for(native: nn.Module, kind: str) -> Family:
    """The family of one kind that knows a native model's class and the layers it has.

    Raises:
        UnsupportedError: naming the class that was found and those that are supported.
    """
    name = class_of(native)
    demand_family(name, kind)
    found: list[str] = []
    for family in FAMILIES:
        if family.kind != kind or name not in family.classes:
            continue
        tower = find(native, native, family.classes[name].tower)
        if not family.layer:
            return family
        stages = [] if tower is None else find_layers(native, tower, family.layers)
        layer = type(stages[0][1][0]).__name__ if stages and stages[0][1] else ""
        if layer in family.layer:
            return family
        found.append(layer or f"no {family.classes[name].tower or 'tower'} with {family.layers}")
    raise UnsupportedError(f"a {name} with layers of class {', '.join(dict.fromkeys(found))} is not supported")


def supported(kind: str) -> list[str]:
    """Native classes with a tower of a kind, or those of vision-language models."""
    if kind == "vlm":
        return sorted({name for family in VLM_FAMILIES for name in family.classes})
    return sorted({name for family in FAMILIES if family.kind == kind for name in family.classes})


def demand_family(class_name: str, kind: str) -> tuple[Family, Entry]:
    """As `family_of`.

    Raises:
        UnsupportedError: naming the class that was found and those that are supported.
    """
    found = family_of(class_name, kind)
    if found is None:
        raise UnsupportedError(f"{class_name} has no {kind} tower that vitreous knows; supported: {supported(kind)}")
    return found


def vlm_of(class_name: str) -> VLMFamily | None:
    """The vision-language family that knows a native class."""
    return next((family for family in VLM_FAMILIES if class_name in family.classes), None)


def demand_vlm(class_name: str) -> VLMFamily:
    """The vision-language family that knows a native class.

    Raises:
        UnsupportedError: naming the class that was found and those that are supported.
    """
    found = vlm_of(class_name)
    if found is not None:
        return found
    raise UnsupportedError(
        f"{class_name} is no vision-language model that vitreous knows; supported: {supported('vlm')}"
    )


def class_name(config: Mapping[str, Any], source: Source) -> str:
    """The native class that a config.json asks for.

    Raises:
        UnsupportedError: if it names neither an architecture nor a known model type.
    """
    architectures = config.get("architectures") or []
    if architectures:
        return architectures[0]
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    name = MODEL_MAPPING_NAMES.get(config.get("model_type", ""))
    if not isinstance(name, str):
        raise UnsupportedError(f"the config of {source.name} names no architecture, and its model_type is unknown")
    return name
