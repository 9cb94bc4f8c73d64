"""Every family, written out. A new one is one file of data and one line here; `check_family` tests it."""

from vitreous.hooked.families.clip import CLIP_TEXT, CLIP_VISION
from vitreous.hooked.families.vit import VIT
from vitreous.hooked.family import Family

FAMILIES: tuple[Family, ...] = (
    CLIP_VISION,
    CLIP_TEXT,
    VIT,
)
