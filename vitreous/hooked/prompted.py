"""What a vision-language model does before it runs: images and text to inputs, inputs to positions."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from vitreous.errors import BadInputError
from vitreous.hooked import cross, prompt, sequence
from vitreous.hooked.crop import Setting
from vitreous.hooked.family import VLMFamily
from vitreous.hooked.token_map import TokenMap
from vitreous.hooked.vit import HookedViT


class Prompted:
    """The part of `HookedVLM` that needs its processor and its family's layout, and runs nothing."""

    name: str
    native: nn.Module
    vision: HookedViT
    family: VLMFamily
    processor: Any
    missing: str
    towers: Any  # of `HookedTowers`

    def preprocess(self, images: Any, text: str | Sequence[str], **options: Any) -> prompt.Prompt:
        """What the model takes, by its native processor; it also keeps the images' sizes, for `token_map`.

        A prompt without an image token goes through the processor's chat template; where there is none, the image
        tokens are put in front.

        Args:
            images: PIL images or Items: one, a list (of one prompt's images, or shared out among the prompts), a list
                for each prompt, or None.
            text: a prompt or a list of prompts, with or without image tokens.
            **options: passed to the processor (`crop_to_patches`, `do_pan_and_scan`, `padding`, ...).

        Raises:
            BadInputError: without a processor; if there is no prompt, or not one image per image token.
        """
        if self.processor is None:
            raise BadInputError(self.missing or f"{self.name} has no processor: pass processor= to from_native")
        return prompt.prepare(self.processor, images, text, options)

    def token_map(
        self, inputs: Mapping[str, Any], image_sizes: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenMap]:
        """Which position of the language model's sequence is what, for each row.

        Args:
            inputs: what `preprocess` or the native processor returned.
            image_sizes: height and width of the original images of each row; `preprocess` remembers them. Where they
                are not known and not needed, boxes are in pixels of the resized image.

        Raises:
            BadInputError: if the image tokens are not as many as the images need, or sizes are needed and not there.
            UnsupportedError: for a family whose layout is not known.
        """
        setting, sizes = self._setting(inputs), image_sizes or getattr(inputs, "image_sizes", None)
        tokenizer = getattr(self.processor, "tokenizer", None)
        return sequence.token_maps(inputs, self.family, setting, tokenizer, sizes)

    def key_map(
        self, inputs: Mapping[str, Any], image_sizes: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenMap]:
        """Which key of the cross-attention is what, for each row (Mllama); arguments and errors as in `token_map`."""
        sizes = image_sizes or getattr(inputs, "image_sizes", None)
        return cross.key_maps(inputs, self.family, self._setting(inputs), sizes)

    def _setting(self, inputs: Mapping[str, Any]) -> Setting:
        special = self.vision._special() if "vision." in self.towers() else ()
        return Setting(self.native.config, special, prompt.settings(self.processor, getattr(inputs, "options", {})))
