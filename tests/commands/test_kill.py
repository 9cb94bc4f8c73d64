"""SIGKILL at a random moment, the same command again: no manual step, the same bytes; more in tests/training."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CALL = "import sys; from vitreous.__main__ import main; sys.exit(main(sys.argv[1:]))"
CACHE = ["cache", "vitreous/scenes-clip", "--data", "scenes:240?seed=5", "--batch-size", "8",
         "--point", "blocks.2.hook_resid_post"]  # fmt: skip
TRAIN = ["--latents", "384", "--k", "8", "--epochs", "6", "--batch-size", "128", "--checkpoint-every", "20"]


def start(argv: list[str]) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CALL, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def killed_until_done(argv: list[str], out: Path, dice: random.Random, most: int) -> int:
    """Run a command; kill it `most` times, each time a random moment after it began to write; let it finish."""
    for kill in range(most + 1):
        before = state(out)
        process = start(argv)
        while kill < most and process.poll() is None and state(out) == before:
            time.sleep(0.01)
        if kill < most and process.poll() is None:
            time.sleep(dice.uniform(0.0, 0.6))
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code == 0:
            return kill
        assert code == -signal.SIGKILL, process.stderr.read().decode()
    raise AssertionError("the last run was not killed and did not finish")


def state(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


@pytest.mark.slow
def test_a_killed_harvest_and_a_killed_training_end_with_the_same_bytes(tmp_path):
    dice = random.Random(7)
    plain, torn = tmp_path / "plain", tmp_path / "torn"
    assert start([*CACHE, "--out", str(plain / "store")]).wait() == 0
    kills = killed_until_done([*CACHE, "--out", str(torn / "store")], torn / "store", dice, 1)
    shards = sorted(p.name for p in (plain / "store").glob("*.safetensors"))
    assert shards
    assert [digest(plain / "store" / s) for s in shards] == [digest(torn / "store" / s) for s in shards]
    assert sorted(p.name for p in (torn / "store").iterdir()) == sorted(p.name for p in (plain / "store").iterdir())

    for folder in (plain, torn):
        argv = ["train", str(folder / "store"), *TRAIN, "--out", str(folder / "run")]
        if folder is plain:
            assert start(argv).wait() == 0
        else:
            kills += killed_until_done(argv, folder / "run", dice, 1)
    names = ("run/coder/coder.safetensors", "run/metrics.csv")
    assert digest(plain / names[0]) == digest(torn / names[0])
    steps = [[line.split(",")[1] for line in (f / names[1]).read_text().splitlines()] for f in (plain, torn)]
    assert steps[0] == steps[1]
    assert kills == 2, "too few runs were killed while they worked for this test to mean anything"
