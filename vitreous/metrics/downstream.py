"""What a reconstruction costs the model: loss and accuracy, recovered against an ablation."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(logits: Float[Tensor, "b classes"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean of ``-log softmax(logits)[label]`` in nats, in float64. Logits of CLIP must include its logit scale."""
    return torch.nn.functional.cross_entropy(logits.double(), labels)


def accuracy(logits: Float[Tensor, "b classes"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Fraction of rows whose largest logit is the label's."""
    return (logits.argmax(1) == labels).double().mean()


def recovered(clean: float, spliced: float, ablated: float) -> float:
    """``(ablated - spliced) / (ablated - clean)``: 1 if the splice is as good as clean, 0 if only as good as ablation.

    Works for losses and for accuracies. Above 1 the splice beats the clean model. When ablation hardly changes the
    result the ratio is noise: look at ``ablated - clean`` too. NaN if they are equal.

    >>> recovered(clean=1.0, spliced=1.5, ablated=3.0)
    0.75
    """
    span = ablated - clean
    return (ablated - spliced) / span if span else float("nan")
