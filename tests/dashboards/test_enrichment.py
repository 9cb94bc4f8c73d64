import numpy as np

from vitreous.dashboards.enrichment import best, columns, f1, lift, lift_lower
from vitreous.dashboards.record import Enrichment


def table() -> Enrichment:
    """Latent 0 finds "a" perfectly, latent 1 fires at random, latent 2 never, latent 3 once and luckily on "c"."""
    joint = np.array([[10, 4, 0], [5, 25, 1], [0, 0, 0], [0, 0, 1]])
    present, active = np.array([10, 50, 2]), np.array([10, 50, 0, 1])
    return Enrichment("factor", "patch", ("a", "b", "c"), 100, present, active, joint)


def test_lift_and_f1_by_hand():
    t = table()
    np.testing.assert_allclose(lift(t)[0], [10.0, 0.8, 0.0])
    np.testing.assert_allclose(lift(t)[1], [1.0, 1.0, 1.0])
    assert np.isnan(lift(t)[2]).all()
    np.testing.assert_allclose(f1(t)[:, 0], [1.0, 10 / 60, 0.0, 0.0])


def test_a_single_lucky_hit_does_not_outrank_solid_evidence():
    t = table()
    assert lift(t)[3, 2] == 50 > lift(t)[0, 0]  # the plain ratio is fooled
    assert lift_lower(t)[3, 2] < 50 / 4
    assert (lift_lower(t)[:2] <= lift(t)[:2]).all()


def test_best_lists_only_names_that_were_hit():
    assert [rows.tolist() for rows in best(table(), 2)] == [[0, 1], [1, 0], [], [2]]


def test_columns_name_the_best_factor_and_leave_dead_latents_empty():
    name, score = columns(table())
    assert [name.names[i] if i >= 0 else None for i in name.values] == ["a", "b", None, "c"]
    np.testing.assert_allclose(score.values, [1.0, 0.5, np.nan, 2 / 3], rtol=1e-6)
