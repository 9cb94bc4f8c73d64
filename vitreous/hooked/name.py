"""Names: which library loads a model, and which families its towers belong to. No network, nothing imported."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vitreous.errors import BadInputError, UnsupportedError

PREFIXES = {"transformers": "transformers", "hf": "transformers", "timm": "timm"}
PREFIXES |= {"open_clip": "open_clip", "open-clip": "open_clip"}
CORRECTIONS = {
    "timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144": (
        "timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144k"
    ),
}
"""Names that others spell wrong -> the right ones."""

RULES: tuple[tuple[str, str, str, str], ...] = (
    ("laion/CoCa-*", "open_clip", "open-clip", "open-clip-custom-text"),
    ("laion/CLIP-*roberta-*", "open_clip", "open-clip", "open-clip-roberta"),
    ("laion/CLIP-*", "open_clip", "open-clip", "open-clip-text"),
    ("apple/DFN*CLIP*", "open_clip", "open-clip", "open-clip-text"),
    ("UCSC-VLAA/*CLIPA*", "open_clip", "open-clip", "open-clip-text"),
    ("timm/ViT-*SigLIP*", "open_clip", "timm-vit", "open-clip-custom-text"),
    ("timm/*_clip_*_ft_*", "timm", "timm-vit", ""),
    ("timm/eva02_enormous_*_clip_*", "open_clip", "timm-eva-after-norm", "open-clip-custom-text"),
    ("timm/eva*_clip_*", "open_clip", "timm-eva", "open-clip-custom-text"),
    ("timm/vit_*_clip_*", "open_clip", "open-clip", "open-clip-text"),
    ("timm/eva*", "timm", "timm-eva", ""),
    ("timm/vit_*dinov3*", "timm", "timm-eva", ""),
    ("timm/vit_pe_*", "timm", "timm-eva", ""),
    ("timm/beit*", "timm", "timm-beit", ""),
    ("timm/deit_*_distilled_*", "timm", "timm-deit-distilled", ""),
    ("timm/deit*", "timm", "timm-vit", ""),
    ("timm/vit_*_rpn_*", "timm", "timm-vit-after-norm", ""),
    ("timm/vit_*", "timm", "timm-vit", ""),
    ("timm/*", "timm", "", ""),
    ("openai/clip-*", "transformers", "clip", "clip-text"),
    ("wkcn/TinyCLIP-*", "transformers", "clip", "clip-text"),
    ("facebook/dino-*", "transformers", "vit", ""),
    ("google/vit-*", "transformers", "vit", ""),
    ("google/vivit-*", "transformers", "vivit", ""),
)
"""Glob of a hub id -> library, vision family, text family; the first that matches. Other hub ids are transformers',
and their config.json says the rest."""

ARCHITECTURES: tuple[tuple[str, str, str], ...] = (
    ("coca_*", "open-clip", "open-clip-custom-text"),
    ("xlm-roberta-*", "open-clip", "open-clip-roberta"),
    ("roberta-*", "open-clip", "open-clip-roberta"),
    ("*-SigLIP*", "timm-vit", "open-clip-custom-text"),
    ("EVA02-E-*", "timm-eva-after-norm", "open-clip-custom-text"),
    ("EVA*", "timm-eva", "open-clip-custom-text"),
    ("ViT-*", "open-clip", "open-clip-text"),
)
"""Glob of an architecture of open_clip -> vision family, text family."""


@dataclass(frozen=True)
class Resolution:
    """What a name means.

    Attributes:
        name: as it was given.
        library: which loads it: `transformers`, `timm` or `open_clip`.
        path: hub id, or architecture.
        tag: of an architecture: the name of its weights, or a file; empty for a hub id.
        vision: family of the vision tower; empty when there is none, or the name does not say.
        text: family of the text tower; empty likewise.
    """

    name: str
    library: str
    path: str
    tag: str = ""
    vision: str = ""
    text: str = ""

    @property
    def hub(self) -> bool:
        """Whether `path` is a hub id."""
        return not self.tag and "/" in self.path


def resolve(name: str) -> Resolution:
    """Which library loads a name, and which families it belongs to.

    Understood are hub ids, `open_clip:ARCHITECTURE/WEIGHTS`, `timm:ARCHITECTURE.WEIGHTS` (also without the prefix),
    `LIBRARY:HUB_ID` to force a library, and ViT-Prisma's spelling of all of these. Weights may be a file.

    Raises:
        UnsupportedError: for V-JEPA 1, whose weights nobody else has.
        BadInputError: for a prefix that is no library.

    >>> resolve("open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K").library
    'open_clip'
    >>> resolve("open_clip:ViT-B-32/openai").tag
    'openai'
    >>> resolve("vit_base_patch16_224").vision
    'timm-vit'
    """
    if re.match(r"v-?jepa_?v1", name.lower()):
        raise UnsupportedError(
            f"{name}: V-JEPA 1 was never published in a form that can be loaded here; V-JEPA 2 is supported, e.g. "
            "'facebook/vjepa2-vith-fpc64-256'"
        )
    prefix, colon, rest = name.partition(":")
    if not colon:
        return _plain(name)
    if prefix not in PREFIXES:
        raise BadInputError(f"{name}: {prefix!r} is no library; known: {', '.join(PREFIXES)}")
    library, rest = PREFIXES[prefix], CORRECTIONS.get(rest, rest)
    forced = rest.removeprefix("hf-hub:")
    rule = next((r for r in RULES if fnmatchcase(forced, r[0])), None)
    if library == "transformers" or forced != rest or (rule and "/" in rest):
        vision, text = (rule[2], rule[3]) if rule and rule[1] == library else ("", "")
        return Resolution(name, library, forced, "", vision, text)
    path, _, tag = rest.partition("/")
    if library == "timm":
        return Resolution(name, library, path, tag, _plain(path.partition(".")[0]).vision)
    vision, text = next((r[1:] for r in ARCHITECTURES if fnmatchcase(path, r[0])), ("", ""))
    return Resolution(name, library, path, tag, vision, text)


def _plain(name: str) -> Resolution:
    """A name without a prefix: a hub id, or an architecture of timm."""
    hub_id = CORRECTIONS.get(name, name)
    bare = re.match(r"(vit|deit3?|eva(02)?|beit(v2)?)_\w+_patch\d+", hub_id) and "/" not in hub_id
    looked_up = f"timm/{hub_id}" if bare else hub_id
    for glob, library, vision, text in RULES:
        if fnmatchcase(looked_up, glob):
            return Resolution(name, "timm" if bare else library, hub_id, "", vision, "" if bare else text)
    return Resolution(name, "transformers", hub_id)
