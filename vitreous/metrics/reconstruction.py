"""How well a reconstruction matches: fraction of variance unexplained, mean squared error, cosine."""

import torch
from jaxtyping import Float
from torch import Tensor


def fvu(x: Float[Tensor, "rows d"], x_hat: Float[Tensor, "rows d"]) -> Float[Tensor, ""]:
    """Fraction of variance unexplained: ``sum |x - x_hat|^2 / sum |x - mean(x)|^2``, pooled over rows and dimensions.

    The variance is around the *mean row* of this batch, so a large constant component (as residual streams of ViTs
    have) does not flatter the score. 0 is perfect, 1 is as good as the mean row, larger is worse than the mean. The
    reconstruction's error is not centred: a constant bias counts. Sums are taken in float64. NaN for constant rows.

    >>> fvu(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])).item()
    1.0
    """
    x, x_hat = x.double(), x_hat.double()
    return (x - x_hat).square().sum() / (x - x.mean(0)).square().sum()


def mse(x: Float[Tensor, "rows d"], x_hat: Float[Tensor, "rows d"]) -> Float[Tensor, ""]:
    """Squared error summed over dimensions, averaged over rows."""
    return (x - x_hat).double().square().sum(1).mean()


def cosine(x: Float[Tensor, "rows d"], x_hat: Float[Tensor, "rows d"]) -> Float[Tensor, ""]:
    """Cosine between each row and its reconstruction (over dimensions), averaged over rows. A zero row counts as 0.

    >>> round(cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])).item(), 4)
    0.7071
    """
    return torch.nn.functional.cosine_similarity(x.double(), x_hat.double(), dim=1).mean()
