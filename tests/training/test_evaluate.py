"""Reports against literal computations on a tiny random CLIP of the real library."""

import pytest
import torch

from vitreous.data.item import Item
from vitreous.errors import BadInputError
from vitreous.metrics import cosine, fvu, l0
from vitreous.sae import SparseCoder, TopK
from vitreous.sae.check import perturbed
from vitreous.training import downstream_report, harvest, reconstruction_report

from .standin import StandIn, pictures

PRE, POST = "blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"


def test_reconstruction_report_equals_the_metrics_of_one_batch(tmp_path):
    store = harvest(StandIn(), pictures(40), tmp_path, [PRE, POST], batch_size=8)
    coder = perturbed(SparseCoder(8, 64, TopK(4), meta={"hook_point": POST}))
    x = store.read(POST)
    z, x_hat = coder.encode_dense(x).detach(), coder(x).detach()
    report = reconstruction_report(coder, store, batch_size=50)
    assert report["l0"] == pytest.approx(l0(z).item())
    assert report["fvu"] == pytest.approx(fvu(x, x_hat).item(), rel=1e-6)
    assert report["cosine"] == pytest.approx(cosine(x, x_hat).item(), rel=1e-6)
    assert report["dead"] == pytest.approx((~(z != 0).any(0)).double().mean().item())
    assert torch.allclose(report["density"], (z != 0).double().mean(0))
    part = reconstruction_report(coder, store, torch.arange(5, 90), batch_size=50)
    assert part["n_rows"] == 85
    assert part["fvu"] == pytest.approx(fvu(x[5:90], x_hat[5:90]).item(), rel=1e-6)
    coder.meta = {}
    with pytest.raises(BadInputError, match="hook_point"):
        reconstruction_report(coder, store)


class Tower:
    """The part of a hooked CLIP that the report uses: one linear 'vision.point' between pixels and logits."""

    def __init__(self):
        self.inner = StandIn()
        self.vision = self.inner
        self.head = torch.randn(8, 2)
        self.edits = []

    def preprocess(self, images):
        return self.inner.preprocess(images)

    def zero_shot(self, prompts):
        return torch.eye(len(prompts))

    def hooks(self, fwd_hooks=()):
        tower = self

        class Scope:
            def __enter__(self):
                tower.edits = list(fwd_hooks)

            def __exit__(self, *_):
                tower.edits = []

        return Scope()

    def logits(self, pixels, classes):
        _, cache = self.inner.run_with_cache(pixels, [PRE, POST])
        for point in (PRE, POST):
            for name, hook in self.edits:
                if name == f"vision.{point}":
                    new = hook(cache[point], hook=None)
                    cache[point] = cache[point] if new is None else new
        return cache[POST].mean(1) @ self.head @ classes


def expected(model, items, replace, positions):
    logits = []
    for item in items:
        _, cache = model.inner.run_with_cache(model.preprocess([item.image]), [PRE, POST])
        value = cache[POST].clone()
        for position in positions:
            value[0, position] = replace(cache[PRE][0, position], value[0, position])
        logits.append((value.mean(1) @ model.head)[0])
    logits = torch.stack(logits).double()
    labels = torch.tensor([int(item.label == "b") for item in items])
    chosen = torch.log_softmax(logits, 1)[torch.arange(len(items)), labels]
    return (logits.argmax(1) == labels).double().mean().item(), -chosen.mean().item()


@pytest.mark.parametrize("tokens", ["patch", "all"])
@pytest.mark.parametrize("transcoder", [False, True])
def test_downstream_report_by_hand(tokens, transcoder):
    model = Tower()
    items = [Item(image, id=str(i), label="ab"[i % 2]) for i, image in enumerate(pictures(11))]
    unlabelled = [Item(pictures(1)[0], id="x", label=None), Item(pictures(1)[0], id="y", label="other")]
    options = (
        {"d_out": 8, "meta": {"hook_point": PRE, "hook_point_out": POST}}
        if transcoder
        else {"meta": {"hook_point": POST}}
    )
    coder = perturbed(SparseCoder(8, 64, TopK(4), **options))
    mean = torch.randn(8)
    prompts = {"a": "an a", "b": "a b"}
    report = downstream_report(model, coder, [*items, *unlabelled], prompts, mean=mean, tokens=tokens, batch_size=4)
    positions = range(10) if tokens == "all" else range(1, 10)
    ways = {
        "clean": lambda pre, post: post,
        "reconstruction": lambda pre, post: coder(pre if transcoder else post).detach(),
        "zero": lambda pre, post: torch.zeros_like(post),
        "mean": lambda pre, post: mean,
    }
    for way, replace in ways.items():
        accuracy, loss = expected(model, items, replace, positions)
        assert report[f"accuracy_{way}"] == pytest.approx(accuracy)
        assert report[f"cross_entropy_{way}"] == pytest.approx(loss, rel=1e-4)
    assert report["n_images"] == 11
    span = report["cross_entropy_mean"] - report["cross_entropy_clean"]
    gained = report["cross_entropy_mean"] - report["cross_entropy_reconstruction"]
    assert report["cross_entropy_recovered_mean"] == pytest.approx(gained / span)
    with pytest.raises(BadInputError, match="label"):
        downstream_report(model, coder, unlabelled, prompts, mean=mean)


def test_on_a_real_clip_a_perfect_coder_changes_nothing(tmp_path):
    """With the identity as coder the reconstruction's numbers are the clean ones, through real hooks."""
    clip = pytest.importorskip("vitreous.hooked").HookedCLIP.from_pretrained("vitreous/scenes-clip")
    point = "blocks.2.hook_resid_post"
    d = clip.vision.cfg.d_model
    identity = SparseCoder(d, 2 * d, TopK(2 * d), meta={"hook_point": point})
    with torch.no_grad():
        identity.W_dec.copy_(torch.cat([torch.eye(d), -torch.eye(d)]))
        identity.W_enc.copy_(identity.W_dec.t())
    items = [Item(image.resize((64, 64)), id=str(i), label="ab"[i % 2]) for i, image in enumerate(pictures(6))]
    prompts = {"a": "a red circle", "b": "a blue square"}
    report = downstream_report(clip, identity, items, prompts, mean=torch.zeros(d), tokens="all")
    assert report["cross_entropy_reconstruction"] == pytest.approx(report["cross_entropy_clean"], abs=1e-3)
    assert abs(report["cross_entropy_zero"] - report["cross_entropy_clean"]) > 0.01
    classes = clip.zero_shot(prompts)
    with torch.no_grad():
        logits = clip.logits(clip.preprocess([item.image for item in items]), classes).double()
    labels = torch.tensor([0, 1] * 3)
    chosen = torch.log_softmax(logits, 1)[torch.arange(6), labels]
    assert report["cross_entropy_clean"] == pytest.approx(-chosen.mean().item(), rel=1e-3)
    store = harvest(clip.vision, items, tmp_path, [point], tokens="all", batch_size=4)
    assert store.n_rows == 6 * clip.vision.tokens.n
    assert reconstruction_report(identity, store)["fvu"] < 1e-8
