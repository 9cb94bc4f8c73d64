"""A training run as a program, for tests that kill it: python run_train.py STORE OUT [DELAY]"""

import sys
import time

from vitreous.sae import Normalisation, SparseCoder, TopK
from vitreous.training import ActivationStore, Batches, TrainConfig, train

store = ActivationStore(sys.argv[1])
pre, post = store.points
delay = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
coders = {
    "wide": SparseCoder(8, 64, TopK(4), normalisation=Normalisation("expected-norm"), meta={"hook_point": post}),
    "across": SparseCoder(8, 32, TopK(2), d_out=8, meta={"hook_point": pre, "hook_point_out": post}, seed=1),
}
config = TrainConfig(lr=3e-3, dead_after=300, log_every=7, checkpoint_every=5, k_aux=8)
batches = Batches(store, 32, epochs=3, seed=3)
train(coders, batches, config, out=sys.argv[2], progress=lambda done, total: time.sleep(delay))
print("finished")
