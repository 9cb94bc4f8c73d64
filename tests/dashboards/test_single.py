import base64
import hashlib
import json
import re

import pytest

from vitreous.dashboards import collect, render_single
from vitreous.errors import BadInputError

from .fake import factors, world


@pytest.fixture(scope="module")
def record():
    made = world(30)
    return collect(made.coder, made.store, made.items, factors=factors(made), top=3, per_group=2, projection="pca",
                   names={1: "</script><script>window.hacked=1</script>"})  # fmt: skip


def test_everything_is_inside_and_the_policy_allows_only_that_script(record, tmp_path):
    html = render_single(record, tmp_path / "d.html").read_text(encoding="utf-8")
    assert not re.search(r"<script[^>]+src=|<link[^>]+stylesheet", html)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    blocks = dict(re.findall(r'<script type="application/json" id="data:(\w+)">(.*?)</script>', html, re.DOTALL))
    assert set(json.loads(blocks["manifest"])["shards"]) <= set(blocks)
    assert json.loads(blocks["table"])["labels"]["1"].startswith("</script>")
    assert json.loads(blocks["pictures_0000"])["pictures"][0]["data"].startswith("data:image/webp")


def test_the_budget_says_what_to_cut(record, tmp_path):
    with pytest.raises(BadInputError, match=r"over the budget of 0\.01 MB: pictures .*explore"):
        render_single(record, tmp_path / "d.html", budget_mb=0.01)
    assert not (tmp_path / "d.html").exists()
