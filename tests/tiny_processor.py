"""Native processors built offline: a tokenizer of words, image processors in PIL, at the sizes of the tiny models.

Processors that cannot be built without torchvision (they hold a video processor) lend their own `replace_image_token`.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

IMAGE_TOKEN = 7
SENTENCES = "a the red ring is where what in picture this of here original image and are some crops to help you see"


def tokenizer(
    image: str = "<image>", side: str = "left", more: Sequence[str] = (), hold: bool = True, **named: str
) -> Any:
    """A tokenizer of whole words and special tokens.

    Args:
        image: what stands for an image; has id 7.
        side: that is padded.
        more: further special tokens.
        hold: whether the tokenizer knows the image token by name.
        **named: further special tokens with names.
    """
    first = ["<pad>", "<s>", "</s>", "<unk>", "better", "<a>", "<b>", image]
    words = list(dict.fromkeys([*first, *SENTENCES.split(), *named.values(), *more]))
    fast = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side=side,
        extra_special_tokens={**({"image_token": image} if hold else {}), **named},
    )
    made.add_special_tokens({"additional_special_tokens": [image, *more]})
    return made


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Noise of a height and width, in blocks so large that resizing does not blur it away."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(noise)


class Lent:
    """A processor that works like `cls`, whose own code expands the image token, and that needs no torchvision.

    Args:
        cls: the native processor.
        image_processor: a native one, PIL.
        tokenizer: of the text.
        keep: what the image processor returns that the model takes.
        **attributes: of the processor that `replace_image_token` reads.
    """

    def __init__(
        self, replace: Callable[..., str], image_processor: Any, tokenizer: Any, keep: Sequence[str], **attributes: Any
    ) -> None:
        self.image_processor, self.tokenizer, self.replace, self.keep = image_processor, tokenizer, replace, keep
        self.image_token = tokenizer.image_token
        self.images_kwargs = attributes.pop("images_kwargs", {})
        known = {"image_processor": image_processor, "image_token": self.image_token, **attributes}
        self.fake = SimpleNamespace(**known)

    def __call__(self, text: list[str], images: Any = None, padding: bool = False, **options: Any) -> dict[str, Any]:
        options.pop("return_tensors", None)
        image_inputs = self.image_processor(images, return_tensors="pt", **{**self.images_kwargs, **options})
        n = 0
        for i, prompt in enumerate(text):
            head, *rest = prompt.split(self.image_token)
            for part in rest:
                head, n = head + self.replace(self.fake, image_inputs, n) + part, n + 1
            text[i] = head
        made = self.tokenizer(text, padding=padding, return_tensors="pt")
        made = {k: made[k] for k in ("input_ids", "attention_mask")} | {k: image_inputs[k] for k in self.keep}
        if "image_grid_thw" in made:
            made["mm_token_type_ids"] = (made["input_ids"] == IMAGE_TOKEN).int()
        return made


def embedded(native: Any, inputs: dict[str, Any], language: str) -> torch.Tensor:
    """What the language model gets: text and image features merged, [b, pos, d]."""
    found: list[torch.Tensor] = []
    module = native.get_submodule(language)
    handle = module.register_forward_pre_hook(
        lambda m, args, kwargs: found.append(kwargs["inputs_embeds"].detach()), with_kwargs=True
    )
    try:
        with torch.no_grad():
            native(**inputs)
    finally:
        handle.remove()
    return found[0]


def local(native: Any, tower: str) -> None:
    """Takes the attention out of a vision tower: what happens in a patch stays in it."""
    for module in native.get_submodule(tower).modules():
        if type(module).__name__.endswith("Attention"):
            module.register_forward_hook(_nothing)


def _nothing(module: Any, args: Any, out: Any) -> Any:
    return out * 0 if torch.is_tensor(out) else (out[0] * 0, *out[1:])
