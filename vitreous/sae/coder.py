"""One sparse coder: an SAE when it reconstructs its input, a transcoder when it predicts another activation."""

import copy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import BadInputError
from vitreous.sae import sparse
from vitreous.sae.activation import Activation, TopK
from vitreous.sae.codes import Codes
from vitreous.sae.normalisation import Normalisation


class SparseCoder(nn.Module):
    """A sparse dictionary: ``z = act((x_n - b_dec) W_enc + b_enc)``, ``x_hat_n = z W_dec + b_dec``.

    ``x_n = (x - shift) * scale`` is the normalised input and the output is mapped back, so `encode`, `decode` and
    `forward` take and give raw activations. Units of the dictionary are called latents.

    Attributes:
        W_enc: encoder, [d_in, n_latents]; stored column by column (its transpose is contiguous).
        b_enc: encoder bias, [n_latents].
        W_dec: decoder, [n_latents, d_out]; rows have unit norm after training, not necessarily in published coders.
        b_dec: decoder bias, [d_out]; with `pre_bias` it is also subtracted from the normalised input.
        meta: plain JSON data: model, hook_point, tokens, data, metrics, version.
    """

    def __init__(
        self,
        d_in: int,
        n_latents: int,
        activation: Activation = TopK(k=32),  # noqa: B008  (frozen record)
        d_out: int | None = None,
        *,
        pre_bias: bool | None = None,
        normalisation: Normalisation = Normalisation(),  # noqa: B008  (frozen record)
        seed: int = 0,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Random unit decoder rows, the encoder as their transpose, zero biases.

        Args:
            d_in: width of the input activation.
            n_latents: number of latents.
            activation: which latents are active; a record of `ACTIVATIONS`.
            d_out: width of the predicted activation; None for an SAE.
            pre_bias: subtract `b_dec` before encoding; by default yes for an SAE and no for a transcoder.
            normalisation: what to do to inputs first; `fit_normalisation` sets its constants.
            seed: seed of the initial weights.
            meta: provenance.
        """
        super().__init__()
        if d_in < 1 or n_latents < 1 or (d_out is not None and d_out < 1):
            raise BadInputError(f"widths must be positive: d_in={d_in}, n_latents={n_latents}, d_out={d_out}")
        self.d_in, self.n_latents = d_in, n_latents
        self.is_transcoder = d_out is not None
        self.d_out = d_in if d_out is None else d_out
        self.pre_bias = (not self.is_transcoder) if pre_bias is None else pre_bias
        if self.pre_bias and self.d_out != d_in:
            raise BadInputError(f"pre_bias needs d_out == d_in, got d_in={d_in}, d_out={d_out}")
        self.activation, self.normalisation, self.meta = activation, normalisation, dict(meta or {})
        generator = torch.Generator().manual_seed(seed)
        encoder = _unit_rows(torch.randn(n_latents, d_in, generator=generator))
        decoder = encoder.clone()
        if self.is_transcoder:
            decoder = _unit_rows(torch.randn(n_latents, self.d_out, generator=generator))
        self.W_enc = nn.Parameter(encoder.t())
        self.b_enc = nn.Parameter(torch.zeros(n_latents))
        self.W_dec = nn.Parameter(decoder)
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))
        sides = [("in", d_in), ("out", self.d_out)] if self.is_transcoder else [("in", d_in)]
        for side, width in sides:
            self.register_buffer(f"{side}_shift", torch.zeros(width))
            self.register_buffer(f"{side}_scale", torch.ones(width))

    def extra_repr(self) -> str:
        return f"d_in={self.d_in}, n_latents={self.n_latents}, d_out={self.d_out}, {self.activation}"

    # -- raw activations -----------------------------------------------------------------------------------------

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Codes:
        """Codes of raw activations, as values and indices of the active latents.

        A dense [rows, n_latents] tensor exists while this runs; pass rows in chunks if that is too large.
        """
        return _shaped(self.active(self.normalise(self._rows(x)))[0], x.shape[:-1])

    def encode_dense(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch n"]:
        """Codes of raw activations as a dense tensor, by plain autograd."""
        rows = self.normalise(self._rows(x))
        return self.activation.dense(self.preactivations(rows)).view(*x.shape[:-1], self.n_latents)

    def decode(self, codes: Codes | Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch d_out"]:
        """The raw activation that codes (sparse or dense) stand for; affine in the codes."""
        if isinstance(codes, Codes):
            *batch, width = codes.values.shape
            rows = Codes(codes.values.reshape(-1, width), codes.indices.reshape(-1, width), codes.n_latents)
            return self.denormalise(self.reconstruct(rows)).view(*batch, self.d_out)
        return self.denormalise(codes @ self.W_dec + self.b_dec)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Reconstruct (SAE) or predict (transcoder): raw activation in, raw activation out."""
        return self.decode(self.encode(x))

    # -- normalised activations: what training works on ----------------------------------------------------------

    def normalise(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """``(x - in_shift) * in_scale``; the input itself without a scheme."""
        if self.normalisation.kind == "none" or self.normalisation.folded:
            return x
        return (x - self.get_buffer("in_shift")) * self.get_buffer("in_scale")

    def normalise_target(self, y: Float[Tensor, "*batch d_out"]) -> Float[Tensor, "*batch d_out"]:
        """The same for what the coder must predict."""
        if self.normalisation.kind == "none" or self.normalisation.folded:
            return y
        shift, scale = self._output_constants()
        return (y - shift) * scale

    def denormalise(self, y: Float[Tensor, "*batch d_out"]) -> Float[Tensor, "*batch d_out"]:
        """The inverse of `normalise_target`."""
        if self.normalisation.kind == "none" or self.normalisation.folded:
            return y
        shift, scale = self._output_constants()
        return y / scale + shift

    def preactivations(self, x: Float[Tensor, "b d_in"]) -> Float[Tensor, "b n"]:
        """``h = (x - b_dec) W_enc + b_enc`` of normalised rows, dense."""
        return torch.addmm(self.b_enc, self._centred(x), self.W_enc)

    def active(
        self, x: Float[Tensor, "b d_in"], dead: Tensor | None = None, k_dead: int = 0, *, fast: bool = True
    ) -> tuple[Codes, Codes | None]:
        """Codes of normalised rows and, on request, the strongest latents among the dead ones.

        Args:
            x: normalised rows.
            dead: indices of dead latents, or None.
            k_dead: how many of them to return per row (at most as many as there are), rectified.
            fast: sparse gradients; the dense twin otherwise. Both give the same values and gradients.
        """
        product = sparse.active_product if fast else sparse.active_product_dense
        widths: list[int] = []

        def select(pre: Tensor) -> Tensor:
            chosen = [self.activation.select(pre)]
            if dead is not None and dead.numel() and k_dead:
                chosen.append(dead[pre[:, dead].topk(min(k_dead, dead.numel()), dim=-1, sorted=False).indices])
            widths.extend(part.shape[1] for part in chosen)
            return torch.cat(chosen, dim=1) if len(chosen) > 1 else chosen[0]

        values, indices = product(self._centred(x), self.W_enc, self.b_enc, select)
        values = torch.relu(values)
        parts = zip(values.split(widths, dim=1), indices.split(widths, dim=1), strict=True)
        codes = [Codes(v, i, self.n_latents) for v, i in parts]
        return codes[0], codes[1] if len(codes) > 1 else None

    def reconstruct(self, codes: Codes, *, bias: bool = True, fast: bool = True) -> Float[Tensor, "b d_out"]:
        """``z W_dec + b_dec`` in normalised units, for codes of rows."""
        product = sparse.decode if fast else sparse.decode_dense
        out = product(codes.values, codes.indices, self.W_dec)
        return out + self.b_dec if bias else out

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write ``config.json`` and ``coder.safetensors``; see `vitreous.sae.disk`."""
        from vitreous.sae.disk import save_coder

        return save_coder(self, folder)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> "SparseCoder":
        """Read a coder that `save` wrote, bit for bit."""
        from vitreous.sae.disk import read_coder

        return read_coder(cls, folder).to(device)

    def copy(self) -> "SparseCoder":
        """An independent copy."""
        return copy.deepcopy(self)

    # -- inner ----------------------------------------------------------------------------------------------------

    def _centred(self, x: Tensor) -> Tensor:
        return x - self.b_dec if self.pre_bias else x

    def _output_constants(self) -> tuple[Tensor, Tensor]:
        side = "out" if self.is_transcoder else "in"
        return self.get_buffer(f"{side}_shift"), self.get_buffer(f"{side}_scale")

    def _rows(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.d_in:
            raise BadInputError(f"this coder reads activations of width {self.d_in}, got shape {tuple(x.shape)}")
        return x.reshape(-1, self.d_in).to(self.W_enc.dtype)


def _unit_rows(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def _shaped(codes: Codes, batch: torch.Size) -> Codes:
    width = codes.values.shape[-1]
    return Codes(codes.values.view(*batch, width), codes.indices.view(*batch, width), codes.n_latents)
