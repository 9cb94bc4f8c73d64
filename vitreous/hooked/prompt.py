"""Images and text to what a VLM takes, with its own processor; the images' sizes go along for the token map."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from vitreous.errors import BadInputError
from vitreous.hooked.canvas import Size
from vitreous.hooked.preprocess import to_images

OWN = frozenset({"BlipProcessor", "Blip2Processor", "InstructBlipProcessor", "Florence2Processor", "Kosmos2Processor"})
"""Processors that take no image token in the text (they put their own in, or need none); one image for each text."""


class Prompt(dict[str, Any]):
    """What a processor returned, and what it forgets.

    Attributes:
        image_sizes: height and width of the original images of each row, in order.
        options: settings that the processor was called with.
    """

    def __init__(
        self, inputs: Mapping[str, Any], image_sizes: Sequence[Sequence[Size]], options: Mapping[str, Any]
    ) -> None:
        super().__init__(inputs)
        self.image_sizes = tuple(tuple(row) for row in image_sizes)
        self.options = dict(options)


def prepare(processor: Any, images: Any, text: str | Sequence[str], options: Mapping[str, Any]) -> Prompt:
    """Runs the processor.

    Args:
        processor: the model's native processor.
        images: of one prompt or of each; see `HookedVLM.preprocess`.
        text: one prompt or several.
        options: passed to the processor.

    Raises:
        BadInputError: if images and prompts do not fit each other, or are none.
    """
    texts = [text] if isinstance(text, str) else list(text)
    if not texts or not all(isinstance(t, str) for t in texts):
        raise BadInputError(f"text must be a prompt or a list of prompts, got {text!r}")
    token = image_token(processor)
    rows = per_prompt(images, texts, token)
    if processor_name(processor) in OWN:
        if any(len(row) != 1 for row in rows):
            raise BadInputError(f"{processor_name(processor)} takes one image per prompt, got {[len(r) for r in rows]}")
    else:
        texts = [with_images(processor, t, len(row), token) for t, row in zip(texts, rows, strict=True)]
    given = {"text": texts, "return_tensors": "pt", **options}
    if len(texts) > 1:
        given.setdefault("padding", True)
    if any(rows):
        given["images"] = rows if processor_name(processor) not in OWN else [row[0] for row in rows]
    sizes = [[(image.height, image.width) for image in row] for row in rows]
    with warnings.catch_warnings():  # PaliGemma's converts its own tensors in a way that numpy 2 deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        made = dict(processor(**given))
    if "suffix" not in options:
        made.pop("labels", None)  # PaliGemma's, which ignore everything
    return Prompt(made, sizes, options)


def settings(processor: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """How images are processed: the image processor's settings, the processor's own, the call's."""
    images = getattr(processor, "image_processor", None)
    own = {} if images is None else vars(images)
    return {**own, **getattr(processor, "images_kwargs", {}), **options, **options.get("images_kwargs", {})}


def processor_name(processor: Any) -> str:
    """Name of its class."""
    return type(processor).__name__


def image_token(processor: Any) -> str:
    """What stands for an image in a prompt; empty where nothing does."""
    token = getattr(processor, "image_token", "")
    return str(getattr(token, "content", token) or "")


def per_prompt(images: Any, texts: Sequence[str], token: str) -> list[list[Any]]:
    """The images of each prompt.

    Args:
        images: nothing; one image; a list, of one prompt's images or shared out (one to each prompt, or as many as it
            has image tokens); or a list of lists.
        texts: the prompts.
        token: what stands for an image.

    Raises:
        BadInputError: if they cannot be shared out.
    """
    if images is None:
        return [[] for _ in texts]
    if isinstance(images, list | tuple) and images and all(isinstance(row, list | tuple) for row in images):
        if len(images) != len(texts):
            raise BadInputError(f"images were given for {len(images)} prompts, but there are {len(texts)}")
        return [to_images(row) if row else [] for row in images]
    flat = to_images(images)
    if len(texts) == 1:
        return [flat]
    counts = [t.count(token) if token else 0 for t in texts]
    if not any(counts):
        counts = [1] * len(texts)
    if sum(counts) != len(flat):
        raise BadInputError(
            f"{len(flat)} images cannot be shared out among {len(texts)} prompts, which take {counts}; give a list of "
            "images for each prompt"
        )
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return [flat[start : start + n] for start, n in zip(starts, counts, strict=True)]


def with_images(processor: Any, text: str, n: int, token: str) -> str:
    """A prompt with its image tokens: as it is, from the chat template, or put in front.

    Raises:
        BadInputError: if it has image tokens, but not as many as there are images; or if it says nothing at all.
    """
    found = text.count(token) if token else 0
    if found == n:
        if not text:
            raise BadInputError("a prompt is empty and has no image")
        return text
    if found:
        raise BadInputError(f"the prompt has {found} image tokens ({token}), but {n} images: {text!r}")
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}] * n + [{"type": "text", "text": text}]
        return processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
    if not token:
        raise BadInputError(f"{processor_name(processor)} has no image token; write it into the prompt yourself")
    return token * n + text
