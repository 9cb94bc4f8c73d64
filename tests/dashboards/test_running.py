import numpy as np
import torch

from vitreous.dashboards.running import RunningHistogram, RunningTop, rank_at_random, rank_by_value


def test_top_k_is_brute_force_with_ties_for_the_earlier_image():
    torch.manual_seed(0)
    peaks = torch.randint(0, 5, (50, 7)).float() / 2  # many ties, many zeros
    for size in (1, 8, 50):
        top = RunningTop(7, 6)
        for start in range(0, 50, size):
            part = peaks[start : start + size]
            top.add(rank_by_value(part), part, torch.arange(start, start + len(part)))
        for latent in range(7):
            order = sorted(range(50), key=lambda i: (-peaks[i, latent].item(), i))
            expected = [i for i in order if peaks[i, latent] > 0][:6]
            assert top.image[latent].tolist() == expected + [-1] * (6 - len(expected))
            assert top.peak[latent, : len(expected)].tolist() == [peaks[i, latent].item() for i in expected]


def test_random_sample_is_uniform_over_firing_images_and_independent_of_batching():
    fires = torch.rand(400, 64, generator=torch.Generator().manual_seed(1)) < 0.5
    samples = []
    for size in (400, 37):
        sample = RunningTop(64, 40)
        for start in range(0, 400, size):
            image = torch.arange(start, min(start + size, 400))
            sample.add(rank_at_random(fires[image], image, 3), fires[image].float(), image)
        samples.append(sample.image)
    assert torch.equal(samples[0], samples[1])
    assert all(fires[samples[0][j], j].all() for j in range(64))
    assert all(len(set(samples[0][j].tolist())) == 40 for j in range(64))
    early = (samples[0] < 200).float().mean().item()
    assert abs(early - 0.5) < 0.03  # 2,560 draws: three standard deviations


def test_histogram_equals_numpy_with_the_final_range():
    rng = np.random.default_rng(0)
    value = (rng.gamma(1.0, 2.0, 4000) * np.linspace(0.01, 3, 4000)).astype(np.float32)  # the range keeps growing
    latent = rng.integers(0, 3, 4000)
    running = RunningHistogram(4, 16)
    for part in np.array_split(np.arange(4000), 23):
        running.add(torch.from_numpy(latent[part]), torch.from_numpy(value[part]))
    for j in range(3):
        x = value[latent == j]
        top = 2.0 ** np.ceil(np.log2(x.max()))
        assert running.top[j] == top
        assert running.counts[j].tolist() == np.histogram(x, bins=16, range=(0, top))[0].tolist()
    assert running.counts[3].sum() == 0
    assert running.top[3] == 0
