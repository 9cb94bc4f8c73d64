"""HookedTextEncoder: the text tower of a contrastive model, with every activation under TransformerLens' names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.hooked.checkpoint import load_native
from vitreous.hooked.loading import Source, family_for, locate
from vitreous.hooked.thirdparty import adapt_tokenizer, open_clip_tokenizer
from vitreous.hooked.token_map import TokenMap, text_tokens
from vitreous.hooked.tower import HookedTower
from vitreous.hooked.wiring import find

_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


class HookedTextEncoder(HookedTower):
    """A text encoder: the native module, hook points and tokenizer.

    `model(["a red ring"])` and `model(model.tokenize([...]))` return the native output object.
    """

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        **options: Any,
    ) -> "HookedTextEncoder":
        """Loads a text encoder, in evaluation mode; arguments and errors as in `HookedViT.from_pretrained`."""
        source = locate(name_or_path, revision)
        native = load_native(source, ("text",), dtype, device, **options)
        return cls.from_native(native, load_tokenizer(source), source.name)

    @classmethod
    def from_native(cls, module: nn.Module, processor: Any = None, name: str = "") -> "HookedTextEncoder":
        """Wraps a module that is already there; `processor` is its tokenizer, or a processor that holds one."""
        family = family_for(module, "text")
        return cls(module, family, adapt_tokenizer(getattr(processor, "tokenizer", processor)), name)

    def tokenize(self, text: str | Sequence[str]) -> dict[str, Tensor]:
        """Token ids and attention mask, padded the way the family was trained, on the model's device.

        Raises:
            BadInputError: without a tokenizer, or for an empty list.
        """
        if self.processor is None:
            raise BadInputError(
                f"{self.name} has no tokenizer: pass processor=tokenizer to from_native, save one into the model's "
                "folder with tokenizer.save_pretrained, or give token ids"
            )
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise BadInputError("no text was given")
        padding: Any = "max_length" if self.family.padding == "max_length" else True
        batch = self.processor(texts, padding=padding, truncation=True, max_length=self.cfg.n_ctx, return_tensors="pt")
        keep = ["input_ids"] if self.family.padding == "max_length" else ["input_ids", "attention_mask"]
        keep += ["token_type_ids"] if "hook_token_type_embed" in self.hook_dict else []
        return {k: batch[k].to(self.device) for k in keep if k in batch}

    @property
    def tokens(self) -> TokenMap:
        """Every position is text; the map has as many as the model can take."""
        return text_tokens(self.cfg.n_ctx)

    def _n_ctx(self) -> int:
        table = find(self.root, self.tower, getattr(self.family.embed.get("hook_pos_embed"), "path", "-"))
        padding = getattr(table, "padding_idx", None)  # RoBERTa counts positions from there
        length = int(self._size("n_ctx", "max_position_embeddings"))
        return length if padding is None else length - padding - 1

    def _inputs(self, inputs: Any, **kwargs: Any) -> dict[str, Any]:
        if isinstance(inputs, str) or (isinstance(inputs, Sequence) and all(isinstance(t, str) for t in inputs)):
            inputs = self.tokenize(inputs)
        if isinstance(inputs, Tensor):
            inputs = {"input_ids": inputs}
        if not isinstance(inputs, Mapping):
            raise BadInputError(f"text must be strings, token ids or a tokenizer's output, got {type(inputs).__name__}")
        if self.entry.argument:
            inputs = {self.entry.argument: inputs["input_ids"]}
        return {**{k: v.to(self.device) for k, v in inputs.items()}, **kwargs}


def load_tokenizer(source: Source) -> Any:
    """The tokenizer of a checkpoint; None when a folder has none."""
    from transformers import AutoTokenizer

    if source.library == "open_clip":
        return open_clip_tokenizer(source.path, local=source.local, hub=source.hub)
    if source.local and not any((Path(source.path) / file).is_file() for file in _FILES):
        return None
    return AutoTokenizer.from_pretrained(source.path, **source.options)
