"""What every test runs under: no network, few threads, fixed seeds, and a torchvision that does not break the rest."""

import importlib.util
import os
import random
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["WANDB_MODE"] = "disabled"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"
if "PYTEST_XDIST_WORKER" in os.environ:  # it inherits the controller's setting; two busy pools of two threads crawl
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
hypothesis.settings.register_profile("vitreous", derandomize=True, deadline=None, print_blob=False)
hypothesis.settings.load_profile("vitreous")

collect_ignore_glob = ["training/run_*.py"]  # programs that tests start and kill
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shim_torchvision() -> object | None:
    """Lets the Python parts of a CUDA build of torchvision load beside a CPU build of torch; for tests only.

    Installed but broken is worse than absent: timm, open_clip and even transformers then fail to import.

    Returns:
        the library object that declares the missing operators, to be kept alive; None where nothing is missing.
    """
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        import torchvision
    except RuntimeError as error:
        if "nms" not in str(error):
            raise
    else:
        return None
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401

    return library


SHIM = shim_torchvision()


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers in every test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture
def photo_pack():
    """Name of an image pack -> its zip file; skips where the packs (no part of the repository) are absent."""

    def find(name: str) -> Path:
        path = DATA / f"{name}.zip"
        if not path.is_file():
            pytest.skip(f"the image pack {path.name} is not on this machine (it is no part of the repository)")
        return path

    return find
