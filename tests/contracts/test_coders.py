"""Every activation of the table keeps the contract of `sae.check`, as an SAE and under every normalisation."""

import pytest
import torch

from vitreous.sae import ACTIVATIONS, Normalisation, SparseCoder, TopK, check
from vitreous.sae.normalisation import NORMALISATIONS

EXAMPLES = {"TopK": lambda k: TopK(k=k)}


def make(name, **options):
    return lambda d_in, n_latents, k: SparseCoder(d_in, n_latents, EXAMPLES[name](k), **options)


def test_every_activation_has_an_example():
    assert set(EXAMPLES) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_contract(name):
    measured = check.check_coder(make(name))
    assert measured["recovered"] >= 0.95


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_quick_contract_under_normalisation(name, kind):
    build = make(name, normalisation=Normalisation(kind))
    for test in (check.check_shapes, check.check_sparsity, check.check_decode_is_affine, check.check_files):
        test(build)
    check.check_fast_equals_dense(build)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_quick_contract_as_transcoder(name):
    build = make(name, d_out=9, normalisation=Normalisation("standardise"))
    for test in (check.check_shapes, check.check_sparsity, check.check_decode_is_affine, check.check_files):
        test(build)
    check.check_fast_equals_dense(build)


class Broken(SparseCoder):
    """Coders with one defect each; the contract must notice."""

    defect = ""

    def active(self, x, dead=None, k_dead=0, *, fast=True):
        codes, revived = super().active(x, dead, k_dead, fast=fast)
        if self.defect == "detached aux" and revived is not None and fast:
            revived = type(revived)(revived.values.detach(), revived.indices, revived.n_latents)
        if self.defect == "negative":
            codes = type(codes)(codes.values - 0.1, codes.indices, codes.n_latents)
        return codes, revived

    def reconstruct(self, codes, *, bias=True, fast=True):
        out = super().reconstruct(codes, bias=bias, fast=fast)
        if self.defect == "bias twice" and fast:
            out = out + self.b_dec
        if self.defect == "not affine":
            out = out + codes.values.sum(1, keepdim=True) ** 2
        return out

    def normalise(self, x):
        return x - x.mean(0) if self.defect == "rows mixed" and x.numel() else super().normalise(x)


@pytest.mark.parametrize(
    ("defect", "test"),
    [
        ("detached aux", check.check_fast_equals_dense),
        ("bias twice", check.check_fast_equals_dense),
        ("negative", check.check_sparsity),
        ("not affine", check.check_decode_is_affine),
        ("rows mixed", check.check_shapes),
    ],
)
def test_contract_notices_defects(defect, test):
    def build(d_in, n_latents, k):
        coder = Broken(d_in, n_latents, TopK(k))
        coder.defect = defect
        return coder

    with pytest.raises(AssertionError):
        test(build)


def test_learning_check_notices_a_frozen_encoder():
    def build(d_in, n_latents, k):
        coder = SparseCoder(d_in, n_latents, TopK(k))
        coder.W_dec.requires_grad_(False)
        return coder

    with pytest.raises(AssertionError):
        check.check_learns(build, steps=60)


def test_bfloat16_inputs_are_learned_from_alike():
    """The planted dictionary is found from rows rounded to bf16 as well."""
    problem = check.toy()
    coder = SparseCoder(24, 64, TopK(4))

    def rounded(n, seed):
        return problem.rows(n, seed).to(torch.bfloat16).float()

    list(check.train_plainly(coder, rounded, 300))
    assert check.recovered_cosine(problem.features, coder.W_dec.detach()) >= 0.95
