"""HookedCLIP: two towers that meet in one space, and zero-shot classification with the model's own logit scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from vitreous.errors import BadInputError
from vitreous.hooked.checkpoint import load_native
from vitreous.hooked.compound import HookedTowers
from vitreous.hooked.loading import family_for, locate
from vitreous.hooked.text import HookedTextEncoder, load_tokenizer
from vitreous.hooked.token_map import TokenMap
from vitreous.hooked.vit import HookedViT
from vitreous.hooked.weight import weights


class HookedCLIP(HookedTowers):
    """A contrastive model of images and text: CLIP, SigLIP and their kin.

    Hook names carry the tower: `vision.blocks.0.hook_resid_post`, `text.blocks.0.attn.hook_pattern`. `vision` and
    `text` are hooked models themselves, with unprefixed names, over the same points.

    Args:
        vision: the image tower.
        text: the text tower, of the same native model.
    """

    vision: HookedViT
    text: HookedTextEncoder

    def __init__(self, vision: HookedViT, text: HookedTextEncoder) -> None:
        if vision.native is not text.native:
            raise BadInputError("the two towers must belong to one native model")
        super().__init__(vision.native, {"vision": vision, "text": text}, vision.name or "")
        self.cfg = vision.cfg

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        **options: Any,
    ) -> "HookedCLIP":
        """Loads both towers, in evaluation mode; arguments and errors as in `HookedViT.from_pretrained`."""
        source = locate(name_or_path, revision)
        native = load_native(source, ("vision", "text"), dtype, device, **options)
        model = cls.from_native(native, name=source.name)
        model.vision.load_processor(source)
        model.text.processor = load_tokenizer(source)
        return model

    @classmethod
    def from_native(cls, module: nn.Module, processor: Any = None, name: str = "") -> "HookedCLIP":
        """Wraps a dual-tower module that is already there.

        Args:
            module: an instance of a class with a vision and a text tower, e.g. `CLIPModel`.
            processor: the native processor, with `image_processor` and `tokenizer`.
            name: shown in messages.
        """
        family_for(module, "text")
        image = getattr(processor, "image_processor", None)
        tokenizer = getattr(processor, "tokenizer", None)
        return cls(HookedViT.from_native(module, image, name), HookedTextEncoder.from_native(module, tokenizer, name))

    def _wrap(self, native: nn.Module) -> "HookedCLIP":
        new = self.from_native(native, name=self.name or "")
        new.vision.processor, new.text.processor = self.vision.processor, self.text.processor
        return new

    @property
    def tokens(self) -> TokenMap:
        """Positions of the vision tower."""
        return self.vision.tokens

    def preprocess(self, images: Any) -> Float[Tensor, "b c h w"]:
        """See `HookedViT.preprocess`."""
        return self.vision.preprocess(images)

    def unprocess(self, pixels: Float[Tensor, "b c h w"]) -> list[Image.Image]:
        """See `HookedViT.unprocess`."""
        return self.vision.unprocess(pixels)

    def tokenize(self, text: str | Sequence[str]) -> dict[str, Tensor]:
        """See `HookedTextEncoder.tokenize`."""
        return self.text.tokenize(text)

    def forward(self, pixels: Tensor, text: Any, **kwargs: Any) -> Any:
        """Runs both towers in the native forward; returns the native output object."""
        given = {}
        for tower, inputs in ((self.vision, pixels), (self.text, text)):
            names = {tower.entry.argument: tower.entry.whole or tower.entry.argument}
            given |= {names.get(name, name): value for name, value in tower._inputs(inputs).items()}
        return self.run_native({**given, **kwargs})

    # --- the shared space ----------------------------------------------------------------------------------------

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """What cosine similarities are multiplied by (already exponentiated)."""
        native: Any = self.native
        scale = weights(native, "logit_scale")[0].reshape(())
        highest = getattr(native, "max_log_logit_scale", None)  # AIMv2 clamps
        return (scale if highest is None else scale.clamp(0.0, highest)).exp()

    @property
    def logit_bias(self) -> Float[Tensor, ""] | None:
        """What is added after scaling (SigLIP); None for CLIP."""
        (bias,) = weights(self.native, "logit_bias")
        return None if bias is None else bias.reshape(())

    def embed_image(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Image embeddings of unit norm."""
        return normalize(_pooled(self.vision(pixels)), dim=-1)

    def embed_text(self, text: Any) -> Float[Tensor, "n d"]:
        """Text embeddings of unit norm, from strings or a tokenizer's output."""
        return normalize(_pooled(self.text(text)), dim=-1)

    @torch.no_grad()
    def zero_shot(self, prompts: Mapping[str, str | Sequence[str]] | Sequence[str]) -> Float[Tensor, "n_classes d"]:
        """Unit-norm class embeddings; several templates of a class are averaged, then normalised again.

        Args:
            prompts: label -> prompt or prompts, or one prompt per class. No gradient is kept.

        Raises:
            BadInputError: for no class, or a class without prompts.
        """
        groups = list(prompts.values()) if isinstance(prompts, Mapping) else list(prompts)
        texts = [[group] if isinstance(group, str) else list(group) for group in groups]
        if not texts or not all(texts):
            raise BadInputError("every class needs at least one prompt")
        flat = self.embed_text([text for group in texts for text in group])
        parts = flat.split([len(group) for group in texts])
        return torch.stack([normalize(part.mean(0), dim=-1) for part in parts])

    def logits(
        self, pixels: Float[Tensor, "b c h w"], classes: Float[Tensor, "n_classes d"]
    ) -> Float[Tensor, "b n_classes"]:
        """Scaled similarity of images with class embeddings (and SigLIP's bias): what softmax (sigmoid) reads."""
        logits = self.embed_image(pixels) @ classes.to(self.device, self.dtype).T * self.logit_scale
        return logits if self.logit_bias is None else logits + self.logit_bias


def _pooled(out: Any) -> Float[Tensor, "b d"]:
    """The embedding in what a tower returns: `pooler_output`, or (open_clip) the first tensor, or the only one.

    FLAVA projects every position, and CLS is the one that counts.
    """
    if isinstance(out, Tensor):
        return out
    pooled = out[0] if type(out) is tuple else out.pooler_output
    return pooled if pooled.dim() == 2 else pooled[:, 0]
