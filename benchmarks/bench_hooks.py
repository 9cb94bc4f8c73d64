"""What hooks cost: paired ratios to the native model, and TransformerLens' bridge on the families that it has.

    python benchmarks/bench_hooks.py                # prints CSV and writes benchmarks/results/hooks.csv
    python benchmarks/bench_hooks.py --case llava-tiny --rounds 51

Three questions per model, each against the native forward that does the same work:
(a) no hooks against the native forward;
(b) one layer's stream cached, with `stop_at_layer`, against a native model that ends there;
(c) every attention pattern cached, against native eager attention; `kept` is the same with every pattern
    held by a plain torch hook, which is the limit: fresh memory for each layer costs time.
All variants of a question run in turn, round after round, in a new order each round; a row's ratio is the median over
rounds of its time divided by the reference's in the same round. `held` is the memory that a cache holds divided by the
bytes of what was asked for. Weights are random: time does not depend on them.
"""

import argparse
import copy
import csv
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import transformers
from torch import Tensor, nn

from vitreous.hooked import HookedViT, HookedVLM

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = [
    *("case", "question", "variant", "ratio", "low", "high", "milliseconds", "held"),
    *("rounds", "batch", "device", "dtype", "threads", "torch", "commit"),
]
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 12, "num_attention_heads": 4}
BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}


def clip(size: dict[str, int], patch: int, batch: int) -> tuple[Any, Any]:
    """A CLIP vision tower, wrapped, and pixels."""
    config = transformers.CLIPVisionConfig(**size, image_size=224, patch_size=patch)
    return HookedViT.from_native(transformers.CLIPVisionModel(config).eval()), torch.randn(batch, 3, 224, 224)


def vit(size: dict[str, int], patch: int, batch: int) -> tuple[Any, Any]:
    """A ViT (which the bridge has, too), wrapped, and pixels."""
    config = transformers.ViTConfig(**size, image_size=224, patch_size=patch)
    return HookedViT.from_native(transformers.ViTForImageClassification(config).eval()), torch.randn(batch, 3, 224, 224)


def llava(batch: int) -> tuple[Any, Any]:
    """A LLaVA of 12 + 12 narrow layers, where Python is most of the time, and a prompt with an image."""
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**TINY, image_size=64, patch_size=8),
        text_config=transformers.LlamaConfig(**TINY, num_key_value_heads=2, vocab_size=200),
        image_token_id=7,
    )
    ids = torch.tensor([[1, *[7] * 64, *range(20, 32)]] * batch)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(batch, 3, 64, 64)}
    return HookedVLM.from_native(transformers.LlavaForConditionalGeneration(config).eval()), given


CASES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "clip-vit-b-32": lambda: clip(BASE, 32, 16),
    "clip-vit-l-14": lambda: clip(LARGE, 14, 2),
    "vit-b-32": lambda: vit(BASE, 32, 16),
    "llava-tiny": lambda: llava(4),
}


def bridge(model: Any) -> Any:
    """TransformerLens' wrapper around a copy of the native model; None where it has no such family."""
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as folder:
        model.native.save_pretrained(folder)
        tokenizer = None
        if isinstance(model, HookedVLM):
            _tokenizer().save_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        try:
            # booting a vision model would pip-install torchvision, and with it another torch, into this environment
            with mock.patch("subprocess.check_call", side_effect=RuntimeError("nothing is installed from here")):
                return TransformerBridge.boot_transformers(
                    folder, hf_model=copy.deepcopy(model.native), tokenizer=tokenizer, device=str(model.device)
                )
        except Exception as error:
            print(f"# no bridge for {type(model.native).__name__}: {str(error).splitlines()[0][:90]}", file=sys.stderr)
            return None


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    plain = Tokenizer(models.WordLevel({f"w{i}": i for i in range(200)}, unk_token="w0"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="w0", bos_token="w1", eos_token="w2", unk_token="w0"
    )


def truncated(model: Any, layer: int) -> nn.Module:
    """The native model with the layers from `layer` on taken away (the weights are shared)."""
    native, tower = model.native, model.language if isinstance(model, HookedVLM) else model
    memo: dict[int, Any] = {id(p): p for p in native.parameters()}
    twin = copy.deepcopy(native, memo)
    layers: Any = memo[id(tower.tower)].get_submodule(tower.family.layers)
    del layers[layer:]
    for module in twin.modules():
        config = getattr(module, "config", None)
        config = getattr(config, "text_config", config)
        if getattr(config, "num_hidden_layers", None) == len(tower.layers) and module is memo[id(tower.tower)]:
            config.num_hidden_layers = layer
    return twin


def questions(model: Any, inputs: Any, peer: Any) -> Iterable[tuple[str, dict[str, Callable[[], Any]]]]:
    """(question, variants); the first variant is the reference."""
    given = model._inputs(inputs)
    more = {"use_cache": False} if isinstance(model, HookedVLM) else {}
    given |= more
    layer = model.cfg.n_layers // 2
    prefix = "language." if isinstance(model, HookedVLM) else ""
    stream = f"{prefix}blocks.{layer - 1}.hook_resid_post"

    def ours(**kwargs: Any) -> Any:
        return model.run_with_cache(inputs, **kwargs, **more)[1]

    def theirs(ends: str) -> Callable[[], Any]:
        first = given.get("input_ids", given.get("pixel_values"))
        rest = {k: v for k, v in given.items() if v is not first}
        return lambda: peer.run_with_cache(first, names_filter=lambda name: name.endswith(ends), **rest)[1]

    plain = {"native": lambda: model.native(**given), "vitreous": lambda: model(inputs, **more)}
    if peer is not None:
        plain["bridge"] = lambda: peer.original_model(**given) if isinstance(model, HookedVLM) else peer(inputs)
    yield "a: no hooks", plain
    short = truncated(model, layer)
    one = {
        "native, truncated": lambda: short(**given),
        "vitreous": lambda: ours(names_filter=stream, stop_at_layer=layer),
    }
    if peer is not None:
        one["bridge"] = theirs(f"blocks.{layer - 1}.hook_out")
    yield "b: one layer's stream", one
    eager = copy.deepcopy(model.native, {id(p): p for p in model.native.parameters()})
    eager.set_attn_implementation("eager")
    every = {"native, eager": lambda: eager(**given), "native, kept": lambda: kept(eager, given)}
    every["vitreous"] = lambda: ours(names_filter="*.hook_pattern")
    if peer is not None:
        every["bridge"] = theirs("attn.hook_pattern")
    yield "c: every pattern", every


def kept(eager: nn.Module, given: dict[str, Any]) -> list[Tensor]:
    """The patterns of every attention module, by plain torch hooks: what a native model needs to hold as much."""
    patterns: list[Tensor] = []
    modules = [m for name, m in eager.named_modules() if name.endswith(("self_attn", "attention"))]
    handles = [m.register_forward_hook(lambda _, __, out: patterns.append(out[1])) for m in modules]
    eager(**given)
    for handle in handles:
        handle.remove()
    assert len(patterns) == len(modules)
    assert all(p is not None for p in patterns)
    return patterns


def held(cache: Any) -> float | None:
    """Bytes of the memory that a cache keeps alive, divided by the bytes of its entries."""
    tensors = [t for t in getattr(cache, "cache_dict", {}).values() if isinstance(t, Tensor)]
    if not tensors:
        return None
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values()) / sum(t.nbytes for t in tensors)


@torch.inference_mode()
def measure(variants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[list[float], float | None]]:
    """Seconds of each round, and what the result holds."""
    kept = {name: held(run()) for name, run in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            began = time.perf_counter()
            variants[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - began)
    return {name: (times[name], kept[name]) for name in variants}


def rows(case: str, rounds: int, device: str) -> Iterable[dict[str, Any]]:
    """The rows of one model."""
    torch.manual_seed(0)
    random.seed(0)
    model, inputs = CASES[case]()
    model.to(device)
    peer = None if case.startswith("clip") else bridge(model)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    about = {"case": case, "device": device, "dtype": "float32", "threads": torch.get_num_threads(), "rounds": rounds}
    about |= {
        "torch": torch.__version__,
        "commit": commit.strip(),
        "batch": len(next(iter(model._inputs(inputs).values()))),
    }
    for question, variants in questions(model, inputs, peer):
        try:
            found = measure(variants, rounds)
        except Exception:
            if "bridge" not in variants:
                raise
            print(f"# the bridge fails at {case}, {question}", file=sys.stderr)
            found = measure({k: v for k, v in variants.items() if k != "bridge"}, rounds)
        reference = found[next(iter(variants))][0]
        for name, (times, kept) in found.items():
            ratios = sorted(t / r for t, r in zip(times, reference, strict=True))
            yield about | {
                "question": question,
                "variant": name,
                "ratio": f"{statistics.median(ratios):.3f}",
                "low": f"{ratios[len(ratios) // 4]:.3f}",
                "high": f"{ratios[-1 - len(ratios) // 4]:.3f}",
                "milliseconds": f"{1000 * statistics.median(times):.2f}",
                "held": "" if kept is None else f"{kept:.2f}",
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=list(CASES), action="append", help="all of them when left out")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each question (default: 15, and 101 if tiny)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "hooks.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writers = [csv.DictWriter(target, COLUMNS) for target in (sys.stdout, file)]
        for writer in writers:
            writer.writeheader()
        for case in args.case or CASES:
            for row in rows(case, args.rounds or (101 if "tiny" in case else 15), args.device):
                for writer in writers:
                    writer.writerow(row)
                sys.stdout.flush()
                file.flush()


if __name__ == "__main__":
    main()
