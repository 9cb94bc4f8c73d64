"""The contract of every coder: what being in the table of activations promises."""

import tempfile
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vitreous.sae.coder import SparseCoder
from vitreous.sae.objective import loss, project_decoder_gradient, unit_norm_decoder
from vitreous.sae.toy import recovered_cosine, toy

Make = Callable[[int, int, int], SparseCoder]


def check_coder(make: Make) -> dict[str, float]:
    """Check a kind of coder against the whole contract; raises AssertionError with what is wrong.

    Args:
        make: from ``(d_in, n_latents, k)`` to a fresh coder with about k active latents per row.

    Returns:
        Measured numbers: largest relative deviation of the fast path, FVU before and after, recovered cosine.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for check in (check_shapes, check_sparsity, check_decode_is_affine, check_files):
            check(make)
        return {**check_fast_equals_dense(make), **check_learns(make)}


def check_shapes(make: Make) -> None:
    """Any leading shape, any number of rows down to none, and the same answer row by row."""
    coder = perturbed(make(6, 32, 4))
    for batch in [(5,), (2, 3), (0,), ()]:
        x = torch.randn(*batch, 6)
        codes = coder.encode(x)
        assert codes.values.shape == codes.indices.shape == (*batch, codes.values.shape[-1]), f"encode of {batch}"
        assert codes.dense().shape == (*batch, 32) == coder.encode_dense(x).shape, f"dense codes of {batch}"
        assert coder(x).shape == (*batch, coder.d_out) == coder.decode(codes.dense()).shape, f"output of {batch}"
    x = torch.randn(7, 6)
    rows = torch.stack([coder(row) for row in x])
    assert torch.allclose(coder(x), rows, atol=1e-5), "a row's output depends on the other rows"


def check_sparsity(make: Make) -> None:
    """At most as many active latents as promised, none negative, and codes = dense codes."""
    coder = perturbed(make(12, 64, 5))
    x = torch.randn(200, 12)
    codes = coder.encode(x)
    dense = coder.encode_dense(x)
    assert torch.allclose(codes.dense(), dense, atol=1e-6), "encode and encode_dense differ"
    assert (dense >= 0).all(), "an activation is negative"
    assert torch.equal(codes.l0(), (dense != 0).sum(1).float()), "a latent is listed twice"
    most = getattr(coder.activation, "k", None)
    assert most is None or codes.l0().max() <= most, f"{codes.l0().max()} active latents, at most {most} promised"
    assert 0 < codes.l0().mean() < 64, "codes are empty or dense"


def check_decode_is_affine(make: Make) -> None:
    """``decode(a z1 + b z2) - decode(0) = a (decode(z1) - decode(0)) + b (...)``, and sparse = dense decoding."""
    coder = perturbed(make(6, 32, 4)).double()
    z1, z2 = torch.rand(9, 32).double(), torch.rand(9, 32).double()
    zero = coder.decode(torch.zeros_like(z1))
    together = coder.decode(2 * z1 - 3 * z2) - zero
    apart = 2 * (coder.decode(z1) - zero) - 3 * (coder.decode(z2) - zero)
    assert torch.allclose(together, apart, atol=1e-9), "decode is not affine in the codes"
    codes = coder.encode(torch.randn(9, 6).double())
    assert torch.allclose(coder.decode(codes), coder.decode(codes.dense()), atol=1e-9), "sparse decoding differs"


def check_files(make: Make) -> None:
    """Saved and loaded, every tensor and every output is the same bit for bit."""
    coder = perturbed(make(6, 32, 4))
    coder.meta = {"model": "m", "hook_point": "blocks.0.hook_resid_post", "nested": {"list": [1, 2.5, None]}}
    with tempfile.TemporaryDirectory() as folder:
        again = type(coder).load(coder.save(folder))
    before, after = coder.state_dict(), again.state_dict()
    assert before.keys() == after.keys(), "tensors are missing or new"
    assert all(torch.equal(before[key], after[key]) for key in before), "weights changed"
    same = ("d_in", "d_out", "n_latents", "is_transcoder", "activation", "normalisation", "pre_bias", "meta")
    assert all(getattr(coder, name) == getattr(again, name) for name in same), "the configuration changed"
    x = torch.randn(9, 6)
    assert torch.equal(coder(x), again(x)), "outputs changed"


def check_fast_equals_dense(make: Make) -> dict[str, float]:
    """Loss, codes and all gradients of the sparse path equal plain autograd's, AuxK included."""
    worst = 0.0
    for dead in (None, torch.arange(40, 43), torch.arange(30, 64)):
        coder = perturbed(make(12, 64, 5)).double()
        x = torch.randn(50, 12).double()
        y = None if not coder.is_transcoder else torch.randn(50, coder.d_out).double()
        grads: list[dict[str, Tensor]] = []
        for fast in (True, False):
            x_leaf = x.clone().requires_grad_()
            coder.zero_grad()
            result = loss(coder, x_leaf, y, dead=dead, k_aux=6, aux_weight=0.5, fast=fast)
            result.total.backward()
            grads.append({n: p.grad for n, p in coder.named_parameters() if p.grad is not None})
            assert x_leaf.grad is not None
            grads[-1] |= {"x": x_leaf.grad, "loss": result.total.detach(), "z": result.codes.dense().detach()}
        assert grads[0].keys() == grads[1].keys(), (
            f"gradients exist for {set(grads[0]) ^ set(grads[1])} on one path only"
        )
        for name, exact in grads[1].items():
            error = ((grads[0][name] - exact).abs().max() / exact.abs().max().clamp_min(1e-12)).item()
            assert error < 1e-9, f"{name} of the fast path is off by {error:.1e} (dead latents: {dead})"
            worst = max(worst, error)
        if dead is not None:
            reached = grads[0]["W_enc"][:, dead].abs().sum()
            assert reached > 0, "the auxiliary loss does not reach the encoder of dead latents"
    return {"fast_error": worst}


def check_learns(make: Make, steps: int = 300) -> dict[str, float]:
    """The loss falls, decoder rows keep unit norm and a planted dictionary is found (mean max cosine >= 0.95)."""
    problem = toy()
    coder = make(problem.features.shape[1], 64, 4)
    losses = list(train_plainly(coder, problem.rows, steps))
    assert losses[-1] < 0.5 * losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} only"
    found = recovered_cosine(problem.features, coder.W_dec.detach())
    assert found >= 0.95, f"the planted dictionary was recovered with mean max cosine {found:.3f} only"
    return {"loss_before": losses[0], "loss_after": losses[-1], "recovered": found}


def train_plainly(
    coder: SparseCoder, rows: Callable[[int, int], Tensor], steps: int, lr: float = 1e-2, batch_size: int = 256
) -> Iterator[float]:
    """A bare training loop that yields the reconstruction loss of every step."""
    optimiser = torch.optim.Adam(coder.parameters(), lr=lr)
    with torch.no_grad():
        if coder.d_out == coder.d_in:
            coder.b_dec.copy_(rows(batch_size, 0).mean(0))
    for number in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (steps - number) / (0.3 * steps))
        result = loss(coder, rows(batch_size, number), None if not coder.is_transcoder else rows(batch_size, number))
        optimiser.zero_grad()
        result.total.backward()
        project_decoder_gradient(coder)
        optimiser.step()
        unit_norm_decoder(coder)
        yield result.reconstruction.item()


@torch.no_grad()
def perturbed(coder: SparseCoder) -> SparseCoder:
    """The coder with every parameter and constant moved off its special starting value, in place."""
    for parameter in coder.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    for name, buffer in coder.named_buffers():
        buffer.copy_(1 + 0.3 * torch.rand_like(buffer) if name.endswith("scale") else 0.2 * torch.randn_like(buffer))
    return coder
