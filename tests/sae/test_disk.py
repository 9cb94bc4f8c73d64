import json
import os

import pytest
import torch

import vitreous
from vitreous.errors import BadInputError, FormatError, StoreError, UnknownNameError
from vitreous.sae import Normalisation, SparseCoder, TopK
from vitreous.sae.check import perturbed
from vitreous.sae.disk import write_bytes


@pytest.fixture
def folder(tmp_path):
    coder = perturbed(SparseCoder(6, 16, TopK(3), normalisation=Normalisation("standardise"), meta={"model": "m"}))
    coder.save(tmp_path / "coder")
    return tmp_path / "coder"


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_config_says_what_it_is(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["activation"] == {"kind": "TopK", "k": 3}
    assert config["normalisation"] == {"kind": "standardise", "folded": False}
    assert config["vitreous_version"] == vitreous.__version__
    assert sorted(os.listdir(folder)) == ["coder.safetensors", "config.json"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtypes_survive(tmp_path, dtype):
    coder = perturbed(SparseCoder(6, 16, TopK(3))).to(dtype)
    again = SparseCoder.load(coder.save(tmp_path))
    assert again.W_enc.dtype == dtype
    assert all(torch.equal(a, b) for a, b in zip(coder.parameters(), again.parameters(), strict=True))


def test_saving_over_an_older_coder(folder):
    other = SparseCoder(6, 16, TopK(4), seed=9)
    other.save(folder)
    assert torch.equal(SparseCoder.load(folder).W_dec, other.W_dec)


def test_memory_layout_survives_loading(folder):
    """The encoder stays stored column by column: the fast products rely on it."""
    assert SparseCoder.load(folder).W_enc.t().is_contiguous()


@pytest.mark.parametrize("position", [10, -3])
def test_a_flipped_bit_is_noticed(folder, position):
    path = folder / "coder.safetensors"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"coder\.safetensors"):
        SparseCoder.load(folder)


def test_errors_name_the_problem(folder, tmp_path):
    with pytest.raises(StoreError, match=r"config\.json"):
        SparseCoder.load(tmp_path / "nowhere")
    edit(folder, activation={"kind": "TopKK", "k": 3})
    with pytest.raises(UnknownNameError, match="did you mean 'TopK'"):
        SparseCoder.load(folder)
    edit(folder, activation={"kind": "TopK", "q": 3})
    with pytest.raises(BadInputError, match="'q'"):
        SparseCoder.load(folder)
    edit(folder, activation={"kind": "TopK", "k": 3}, n_latents=17)
    with pytest.raises(FormatError, match="shape"):
        SparseCoder.load(folder)
    edit(folder, n_latents=16, d_out=6)
    with pytest.raises(FormatError, match="out_scale"):
        SparseCoder.load(folder)
    edit(folder, format_version=99)
    with pytest.raises(FormatError, match="99"):
        SparseCoder.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(FormatError, match="not JSON"):
        SparseCoder.load(folder)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_wrong_width_is_explained():
    with pytest.raises(BadInputError, match="width 6"):
        SparseCoder(6, 16)(torch.randn(2, 7))
    with pytest.raises(BadInputError, match="k=0"):
        TopK(0)
    with pytest.raises(BadInputError, match="n_latents=0"):
        SparseCoder(6, 0)
    with pytest.raises(BadInputError, match="pre_bias"):
        SparseCoder(6, 16, d_out=7, pre_bias=True)
