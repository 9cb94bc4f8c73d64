"""SIGKILL and SIGTERM at random moments: the same command again ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def command(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(script, *arguments):
    process = command(script, *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    return out.strip()


def wait_for(path, pattern, process, n):
    """Wait until n files match, so that kills land inside the work and not in the imports."""
    while len(list(path.glob(pattern))) < n:
        assert process.poll() is None, process.communicate()[1][-2000:]
        time.sleep(0.005)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    digest = finish("run_store.py", folder / "store")
    finish("run_train.py", folder / "store", folder / "run")
    return folder, digest


def weights(folder):
    return {
        f"{name}/{key}": value
        for name in ("wide", "across")
        for key, value in safetensors.torch.load_file(folder / name / "coder.safetensors").items()
    }


def without_clock(path):
    return [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]


def test_killed_harvest(undisturbed, tmp_path):
    _, digest = undisturbed
    chance = random.Random(1)
    for shards in (1, 4):
        process = command("run_store.py", tmp_path / "store", 0.02)
        wait_for(tmp_path / "store", "shard-*.json", process, shards)
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert finish("run_store.py", tmp_path / "store") == digest


def test_killed_training(undisturbed, tmp_path):
    folder, _ = undisturbed
    chance = random.Random(2)
    for steps in (5, 20):
        process = command("run_train.py", folder / "store", tmp_path / "run", 0.01)
        wait_for(tmp_path / "run" / "checkpoints", f"step-{steps:08d}", process, 1)
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    (newest / "state.safetensors").write_bytes((newest / "state.safetensors").read_bytes()[:1000])
    assert finish("run_train.py", folder / "store", tmp_path / "run") == "finished"
    expected, got = weights(folder / "run"), weights(tmp_path / "run")
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert without_clock(folder / "run" / "metrics.csv") == without_clock(tmp_path / "run" / "metrics.csv")


def test_terminated_training_checkpoints_and_exits_cleanly(undisturbed, tmp_path):
    folder, _ = undisturbed
    process = command("run_train.py", folder / "store", tmp_path / "run", 0.02)
    wait_for(tmp_path / "run" / "checkpoints", "step-00000005", process, 1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), err
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    assert newest.name > "step-00000005"
    finish("run_train.py", folder / "store", tmp_path / "run")
    expected, got = weights(folder / "run"), weights(tmp_path / "run")
    assert all(torch.equal(expected[key], got[key]) for key in expected)
