import pytest

from vitreous.dashboards.label import Label, merge_labels, names, read_labels, write_labels
from vitreous.errors import FormatError


def test_labels_survive_a_round_trip(tmp_path):
    labels = [
        Label(7, "anneau rouge\nsur fond bleu", author="ana", time="2026-01-02T00:00:00Z", score=0.9, source="page"),
        Label(2, "「赤」 \u202e </script>", note='quote " and \\'),
    ]
    write_labels(tmp_path / "labels.jsonl", labels)
    assert read_labels(tmp_path / "labels.jsonl") == sorted(labels, key=lambda label: label.latent)
    assert len((tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_merge_keeps_the_latest_and_reports_conflicts():
    old, new = Label(1, "ring", time="2026-01-01"), Label(1, "red ring", time="2026-02-01")
    same = Label(1, "red ring", time="2026-03-01")
    merged, conflicts = merge_labels([new, Label(0, "a")], [old, same])
    assert names(merged) == {0: "a", 1: "red ring"}
    assert [(c.kept.label, c.dropped.label) for c in conflicts] == [("red ring", "ring")]


def test_damaged_lines_are_named(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"latent": 1, "label": "x", "from_the_future": 3}\n\n{"latent": "?"}\n')
    with pytest.raises(FormatError, match="line 3"):
        read_labels(path)
