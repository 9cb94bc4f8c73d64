"""A view of an image in a sequence, and what decides which views there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitreous.errors import BadInputError
from vitreous.hooked.canvas import Box, Size
from vitreous.hooked.tower import two


@dataclass(frozen=True)
class Crop:
    """A view of an image and what it becomes: `before`, then the grid row by row, then `after`.

    Attributes:
        grid: rows and columns; (0, 0) where positions have no place (queries).
        box: what the grid covers, in pixels of the original image; it may reach into padding.
        whole: whether the view shows the whole image.
        before: kinds of the positions before the grid.
        newline: whether a learned newline follows each row.
        after: kinds of the positions after the grid.
        n_frames: time steps.
        tubelet: frames in a time step.
    """

    grid: Size
    box: Box
    whole: bool = False
    before: tuple[str, ...] = ()
    newline: bool = False
    after: tuple[str, ...] = ()
    n_frames: int = 1
    tubelet: int = 1

    @property
    def n(self) -> int:
        """Number of placeholders."""
        rows, cols = self.grid
        return len(self.before) + self.n_frames * rows * (cols + self.newline) + len(self.after)


@dataclass(frozen=True)
class Picture:
    """What is known about one image (or video).

    Attributes:
        size: height and width of the original; None if it is not known.
        told: height and width that the processor returned (`image_sizes`): of the original in LLaVA-NeXT and
            LLaVA-OneVision, of the resized image in Pixtral.
        pixels: height and width of the pixels that the vision tower sees.
        steps: time steps, rows and columns of patches (`image_grid_thw`); for a video without them, frames first.
        alone: whether it is the only image of its prompt (LLaVA-OneVision tiles only those).
        video: whether it is a video.
    """

    size: Size | None = None
    told: Size | None = None
    pixels: Size | None = None
    steps: tuple[int, int, int] | None = None
    alone: bool = True
    video: bool = False


@dataclass(frozen=True)
class Setting:
    """What a layout depends on beside the image.

    Attributes:
        config: the native model's.
        special: kinds of positions that the vision tower has before its patches.
        options: the image processor's settings, the call's own first.
    """

    config: Any
    special: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vision(self) -> Any:
        """The vision tower's configuration."""
        return self.config.vision_config

    @property
    def patch(self) -> Size:
        """Height and width of a patch."""
        return two(self.vision.patch_size)

    @property
    def kept(self) -> tuple[str, ...]:
        """Kinds of special positions of the vision tower that reach the language model."""
        strategy = getattr(self.config, "vision_feature_select_strategy", "full")
        return self.special[1:] if strategy == "default" else self.special

    def need(self, name: str) -> Any:
        """An option that the layout cannot do without.

        Raises:
            BadInputError: if nothing says what it is.
        """
        if self.options.get(name) is None:
            raise BadInputError(
                f"where an image's tokens are depends on the processor's {name!r}; pass processor= to from_native"
            )
        return self.options[name]


def side(setting: Setting) -> int:
    """Rows of patches of the model's own image size."""
    return two(setting.vision.image_size)[0] // setting.patch[0]


def original(picture: Picture) -> Size:
    """The original's size.

    Raises:
        BadInputError: if it is not known.
    """
    size = picture.size or picture.told
    if size is None:
        raise BadInputError(
            "where an image's tokens are depends on its original size; use model.preprocess(images, text), which keeps "
            "it, or give image_sizes=[[(height, width), ...], ...], one list per row"
        )
    return size
