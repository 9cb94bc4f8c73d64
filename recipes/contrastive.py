"""What the recipes share: a small CLIP, a word-level tokenizer, the loop, its checkpoints and the export.

The result is an ordinary transformers checkpoint: `CLIPModel.from_pretrained(folder)` reads it.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<start>", "<unk>", "<end>")
Model = TypeVar("Model", bound=nn.Module)
MEAN_STD = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


def word_tokenizer(words: Iterable[str], max_length: int, *, end: bool = True) -> PreTrainedTokenizerFast:
    """One token per lower-case word or punctuation mark; unknown words become `<unk>`.

    Args:
        words: the vocabulary, besides `SPECIAL`.
        max_length: longest text in tokens.
        end: close every text with `<end>`; False for texts that a model is to continue (they are padded on the left).
    """
    vocabulary = {w: i for i, w in enumerate((*SPECIAL, *sorted(set(words))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>" if end else "<start> $A", special_tokens=[("<start>", 1), ("<end>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<start>",
        unk_token="<unk>",
        eos_token="<end>",
        model_max_length=max_length,
        padding_side="right" if end else "left",
    )


def small_clip(tokenizer: PreTrainedTokenizerFast, image_size: int, patch_size: int = 8) -> CLIPModel:
    """A CLIP with a 6-layer vision tower of width 192 and a 4-layer text tower of width 128 (3.5 M parameters)."""
    config = CLIPConfig(
        projection_dim=128,
        text_config={
            "vocab_size": len(tokenizer),
            "projection_dim": 128,
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "max_position_embeddings": tokenizer.model_max_length,
            "hidden_act": "gelu",
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 3,
        },
        vision_config={
            "projection_dim": 128,
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "image_size": image_size,
            "patch_size": patch_size,
            "hidden_act": "gelu",
        },
    )
    model = CLIPModel(config)
    for name, p in model.named_parameters():  # CLIP's own initialisation starts too small for a model this narrow
        if p.ndim >= 2 and "embed" not in name:
            nn.init.normal_(p, std=0.7 / math.sqrt(p.shape[1]))
    return model


def embed_images(model: CLIPModel, pixels: Tensor, keep: Tensor | None = None, chunk: int = 32) -> Tensor:
    """Unit-norm image embeddings.

    Args:
        model: the CLIP.
        pixels: [b, 3, h, w], normalised.
        keep: [b, k] patch indices to look at, or None for all (token dropping as in FLIP, Li et al. 2023).
        chunk: images per forward; small chunks stay in the processor's cache.
    """
    tower, out = model.vision_model, []
    for i in range(0, len(pixels), chunk):
        h = tower.embeddings(pixels[i : i + chunk])
        if keep is not None:
            index = torch.cat([torch.zeros(len(h), 1, dtype=torch.long), keep[i : i + chunk] + 1], 1)
            h = h.gather(1, index[..., None].expand(-1, -1, h.shape[-1]))
        h = tower.encoder(inputs_embeds=tower.pre_layrnorm(h)).last_hidden_state
        out.append(model.visual_projection(tower.post_layernorm(h[:, 0])))
    return F.normalize(torch.cat(out), dim=-1)


def embed_texts(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Tensor:
    """Unit-norm text embeddings; equal texts are embedded once."""
    unique = {t: i for i, t in enumerate(dict.fromkeys(texts))}
    batch = tokenizer(list(unique), padding=True, truncation=True, return_tensors="pt")
    pooled = model.text_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)[[unique[t] for t in texts]]


def contrastive_loss(images: Tensor, texts: Tensor, captions: list[str], scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy; equal captions share the target instead of repelling each other."""
    logits = scale * images @ texts.T
    number = {c: i for i, c in enumerate(dict.fromkeys(captions))}
    ids = torch.tensor([number[c] for c in captions])
    same = (ids[:, None] == ids[None]).float()
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def schedule(step: int, steps: int, peak: float, warmup: int = 200) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def _save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    save_file(tensors, folder / "next.safetensors", metadata={"step": str(step)})
    os.replace(folder / "next.safetensors", folder / "last.safetensors")
    (folder / "step.json").write_text(json.dumps({"step": step}))


def _load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not (folder / "step.json").exists():
        return 0
    tensors = load_file(folder / "last.safetensors")
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, i, key = name.split(".", 2)
            state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads((folder / "step.json").read_text())["step"]


def parameter_groups(model: nn.Module, weight_decay: float, pace: Callable[[str], float]) -> list[dict[str, Any]]:
    """Parameters that share a pace and a weight decay (matrices decay, vectors do not); frozen ones are left out."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((pace(name), p.ndim < 2), []).append(p)
    return [
        {"params": groups[key], "weight_decay": 0.0 if key[1] else weight_decay, "pace": key[0]}
        for key in sorted(groups)
    ]


def rank() -> int:
    """This process' number under torchrun; 0 without it."""
    return dist.get_rank() if dist.is_initialized() else 0


def average_gradients(model: nn.Module) -> None:
    """The mean of every gradient over the processes of torchrun; nothing without it."""
    if dist.is_initialized():
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        for g, mean in zip(
            gradients, (flat / dist.get_world_size()).split([g.numel() for g in gradients]), strict=True
        ):
            g.copy_(mean.view_as(g))


def clamp_scale(model: CLIPModel) -> None:
    """Keeps CLIP's temperature within its usual bounds."""
    model.logit_scale.clamp_(0.0, math.log(100.0))


def fit(
    model: Model,
    batches: Callable[[int], Iterable[Any]],
    loss: Callable[[Any, int], tuple[Tensor, dict[str, float]]],
    *,
    steps: int,
    out: Path,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    save_every: int = 100,
    stop: int | None = None,
    report: Callable[[int], None] = lambda step: None,
    pace: Callable[[str], float] = lambda name: 1.0,
    after: Callable[[Model], None] = lambda model: None,
) -> None:
    """AdamW from the last checkpoint in `out` to `steps`; a killed run continues when started again.

    Under torchrun every process sees its own batches; gradients are averaged, and the first process writes.

    Args:
        model: trained in place.
        batches: given the first step, yields one batch per step.
        loss: given a batch and its step, returns the loss and figures to log.
        steps: total number of steps.
        out: folder for the checkpoint and `log.jsonl`.
        lr: peak learning rate.
        weight_decay: on matrices only.
        save_every: steps between checkpoints (and reports).
        stop: end after this many steps, before the schedule of the learning rate has run out.
        report: called after each checkpoint.
        pace: given a parameter's name, what its learning rate is multiplied by.
        after: called on the model after each step, without gradients.
    """
    groups = parameter_groups(model, weight_decay, pace)
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6, fused=True)
    first = _load(out, model, optimizer)
    began = time.time()
    last = min(steps, stop or steps)
    for step, batch in zip(range(first, last), batches(first), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = group["pace"] * schedule(step, steps, lr)
        value, figures = loss(batch, step)
        value.backward()
        average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            after(model)
        if rank() == 0 and (step + 1) % 20 == 0:
            row = {
                "step": step + 1,
                "seconds_per_step": (time.time() - began) / (step + 1 - first),
                "loss": value.item(),
                **figures,
            }
            out.mkdir(parents=True, exist_ok=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        if rank() == 0 and ((step + 1) % save_every == 0 or step + 1 == last):
            _save(out, step + 1, model, optimizer)
            report(step + 1)


def image_processor(size: int) -> CLIPImageProcessorPil:
    """Shortest side to `size`, centre crop, pixels to [-1, 1]."""
    mean, std = MEAN_STD
    return CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}, image_mean=mean, image_std=std
    )


def export(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the checkpoint in float16, with the tokenizer and the image processor beside it."""
    processor = image_processor(model.config.vision_config.image_size)
    half = CLIPModel(model.config).half()
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
