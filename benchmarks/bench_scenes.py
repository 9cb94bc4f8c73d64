"""How fast scenes are drawn: pictures with captions, and with questions too, on every core.

python benchmarks/bench_scenes.py
"""

import csv
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from vitreous.data import Scenes


def work(job: tuple[int, int, bool]) -> int:
    seed, n, questions = job
    done = 0
    for scene in Scenes(n, seed=seed):
        done += bool(scene.pixels.size and scene.captions and (not questions or scene.questions))
    return done


def main() -> None:
    cores, n = os.cpu_count() or 1, 2000
    rows = csv.writer(sys.stdout)
    rows.writerow(["what", "processes", "scenes", "seconds", "scenes_per_second"])
    for processes in sorted({1, cores}):
        for questions in (False, True):
            with ProcessPoolExecutor(processes) as pool:
                list(pool.map(work, [(99, 20, questions)] * processes))
                began = time.perf_counter()
                total = sum(pool.map(work, [(seed, n, questions) for seed in range(processes)]))
                seconds = time.perf_counter() - began
            what = "picture, captions" + (", questions" if questions else "")
            rows.writerow([what, processes, total, f"{seconds:.2f}", f"{total / seconds:.0f}"])


if __name__ == "__main__":
    main()
