import csv
import json
import math
import os
import shutil

import pytest
import torch

from vitreous.errors import BadInputError, StoreError, UnknownNameError
from vitreous.sae import Normalisation, SparseCoder, TopK
from vitreous.sae.toy import recovered_cosine, toy
from vitreous.training import Batches, DivergedError, Stream, TrainConfig, harvest, train
from vitreous.training.checkpoint import latest_checkpoint, save_checkpoint
from vitreous.training.config import rate

from .standin import StandIn, pictures

PRE, POST = "blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"
QUICK = TrainConfig(lr=3e-3, checkpoint_every=4, log_every=5, dead_after=200, k_aux=4)


@pytest.fixture
def store(tmp_path):
    return harvest(StandIn(), pictures(40), tmp_path / "store", [PRE, POST], batch_size=8)


def coder(**options):
    return SparseCoder(8, 32, TopK(4), **{"meta": {"hook_point": POST}, **options})


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_planted_dictionary_is_recovered_with_unit_rows():
    problem = toy()
    trained = SparseCoder(24, 64, TopK(4), seed=5)
    batches = [problem.rows(256, i) for i in range(300)]
    result = train(trained, batches, TrainConfig(lr=1e-2, dead_after=5000))
    assert recovered_cosine(problem.features, trained.W_dec.detach()) >= 0.95
    assert torch.allclose(trained.W_dec.norm(dim=1), torch.ones(64), atol=1e-5)
    assert result.rows[-1]["fvu"] < 0.5 * result.rows[0]["fvu"]
    assert result.rows[-1]["l0"] <= 4


def test_coders_on_one_pass_equal_coders_alone(store):
    together = {"a": coder(), "b": coder(seed=1, normalisation=Normalisation("standardise"))}
    train(together, Batches(store, 36, epochs=2), QUICK)
    for name, options in (("a", {}), ("b", {"seed": 1, "normalisation": Normalisation("standardise")})):
        alone = coder(**options)
        train(alone, Batches(store, 36, epochs=2), QUICK)
        assert same(alone, together[name])


def test_transcoders_predict_another_point(store):
    across = coder(d_out=8, meta={"hook_point": PRE, "hook_point_out": POST})
    result = train(across, Batches(store, 36, epochs=8), TrainConfig(lr=1e-2, log_every=10))
    x, y = store.read(PRE), store.read(POST)
    assert (across(x) - y).square().sum() < 0.5 * (y - y.mean(0)).square().sum()
    assert result.rows[-1]["fvu"] < 0.5
    with pytest.raises(BadInputError, match="hook_point_out"):
        train(coder(d_out=8), Batches(store, 36), QUICK)


@pytest.mark.parametrize("source", ["store", "stream"])
def test_resumed_is_equal_to_undisturbed(store, tmp_path, source):
    def batches():
        if source == "store":
            return Batches(store, 36, epochs=2)
        return Stream(StandIn(), pictures(40), [POST], 36, block=16, epochs=2)

    class Stop(Exception):
        pass

    def stop_at(step):
        def progress(done, total):
            if done == step:
                raise Stop

        return progress

    straight = coder()
    train(straight, batches(), QUICK, out=tmp_path / "straight")
    for step in (2, 7, 13):
        with pytest.raises(Stop):
            train(coder(), batches(), QUICK, out=tmp_path / "broken", progress=stop_at(step))
    resumed = coder(seed=77)  # its weights come from the checkpoint
    result = train(resumed, batches(), QUICK, out=tmp_path / "broken")
    assert result.resumed_at == 12
    assert same(straight, resumed)
    assert same(straight, SparseCoder.load(tmp_path / "broken" / "coder"))
    again = coder()
    assert train(again, batches(), QUICK, out=tmp_path / "broken").resumed_at == result.steps
    assert same(straight, again)


def test_dead_latents_are_revived(store):
    """A latent that cannot win on its own is brought back by AuxK and stays dead without it."""
    alive = {}
    for k_aux in (0, 8):
        dead = coder()
        with torch.no_grad():
            dead.b_enc[:16] = -1.0
        train(dead, Batches(store, 120, epochs=40), TrainConfig(lr=1e-2, dead_after=300, k_aux=k_aux, aux_weight=1.0))
        alive[k_aux] = (dead.encode_dense(store.read(POST))[:, :16] > 0).any(0).float().mean().item()
    assert alive[8] > alive[0] + 0.2


def test_log_has_one_row_per_coder_and_step(store, tmp_path):
    train({"a": coder(), "b": coder(seed=1)}, Batches(store, 36, epochs=2), QUICK, out=tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [(r["coder"], int(r["step"])) for r in rows] == [(c, s) for s in (5, 10, 15, 20) for c in "ab"]
    assert all(math.isfinite(float(r[k])) for r in rows for k in ("loss", "fvu", "l0", "dead", "lr"))


def test_nan_stops_and_names_step_and_checkpoint(tmp_path):
    batches = [torch.randn(16, 8) for _ in range(12)]
    batches[10] = torch.full((16, 8), float("nan"))
    with pytest.raises(DivergedError, match=r"step 11; the last good checkpoint is .*step-00000008"):
        train(SparseCoder(8, 32, TopK(4)), batches, QUICK, out=tmp_path)
    good = latest_checkpoint(tmp_path / "checkpoints")
    assert all(torch.isfinite(t).all() for t in good[0].values())
    with pytest.raises(DivergedError, match="no checkpoint"):
        train(SparseCoder(8, 32, TopK(4)), batches, QUICK)


def test_another_run_in_the_same_folder_is_refused(store, tmp_path):
    train(coder(), Batches(store, 36), QUICK, out=tmp_path / "run")
    with pytest.raises(BadInputError, match="config"):
        train(coder(), Batches(store, 36), TrainConfig(lr=1e-4), out=tmp_path / "run")
    with pytest.raises(BadInputError, match="coders"):
        train(
            coder(seed=1, normalisation=Normalisation("standardise")), Batches(store, 36), QUICK, out=tmp_path / "run"
        )
    with pytest.raises(BadInputError, match="seed"):
        train(coder(), Batches(store, 36, seed=9), QUICK, out=tmp_path / "run")


def test_points_that_do_not_fit(store):
    with pytest.raises(BadInputError, match="say which"):
        train(coder(meta={}), Batches(store, 36), QUICK)
    with pytest.raises(BadInputError, match="resid_mid"):
        train(coder(meta={"hook_point": "blocks.0.hook_resid_mid"}), Batches(store, 36), QUICK)
    with pytest.raises(BadInputError, match="folders"):
        train({"a/b": coder()}, Batches(store, 36), QUICK)


def test_checkpoints_survive_damage_and_a_full_disk(tmp_path, monkeypatch):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"x": torch.full((3,), float(step))}, {}, keep=2)
    assert sorted(os.listdir(tmp_path)) == ["step-00000002", "step-00000003"]

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            save_checkpoint(tmp_path, 4, {"x": torch.zeros(3)}, {}, keep=2)
    assert latest_checkpoint(tmp_path)[1]["step"] == 3
    (tmp_path / "step-00000003" / "state.json").write_text("{")
    assert latest_checkpoint(tmp_path)[0]["x"].tolist() == [2.0, 2.0, 2.0]
    shutil.rmtree(tmp_path / "step-00000002")
    assert latest_checkpoint(tmp_path) is None


def test_wandb_offline(store, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    options = {"project": "test", "mode": "offline"}
    train(coder(), Batches(store, 36), QUICK, out=tmp_path / "run", wandb=options)
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert json.loads((tmp_path / "run" / "wandb.json").read_text())["id"]


def test_schedule_and_settings():
    assert rate(0, 100, 0.0, 0.0) == 1
    assert rate(99, 100, 0.1, 0.5) == pytest.approx(0.02)
    for bad in ({"steps": 0}, {"keep": 1}, {"warmup": 2.0}, {"lr": -1.0}):
        with pytest.raises(BadInputError, match=next(iter(bad))):
            TrainConfig(**bad)
    with pytest.raises(UnknownNameError, match="centre"):
        train(SparseCoder(8, 32, TopK(4)), [torch.randn(9, 8)], TrainConfig(centre="middle"))
