"""A harvest as a program, for tests that kill it: python run_store.py FOLDER [DELAY]"""

import sys
import time

from standin import StandIn, pictures

from vitreous.training import harvest

model = StandIn()
delay = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
forward = model.run_with_cache


def slowly(*args, **kwargs):
    time.sleep(delay)
    return forward(*args, **kwargs)


model.run_with_cache = slowly
points = ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"]
store = harvest(model, pictures(96), sys.argv[1], points, batch_size=4, images_per_shard=8)
print(store.content_hash)
