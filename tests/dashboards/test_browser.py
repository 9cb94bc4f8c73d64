"""The page in a real browser, from disk, with the network denied."""

import dataclasses
import json
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from vitreous.dashboards import collect, compare, render, render_single, wire
from vitreous.dashboards.record import Region

from .fake import PLANTED, factors, world

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>\u202e\''
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND",
]  # fmt: skip


@pytest.fixture(scope="module")
def made():
    return world(60, n_latents=300)


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "dash board"  # a space on purpose
    mask = {item.id: np.kron(m, np.ones((8, 8))) > 0 for item, m in zip(made.items, made.masks, strict=True)}
    record = collect(
        made.coder,
        made.store,
        made.items,
        factors=factors(made),
        regions=lambda name: [Region(f"{HOSTILE} square", mask[name])],
        top=6,
        per_group=4,
        projection="pca",
        names={PLANTED: "planted thing"},
    )
    pictures = tuple(dataclasses.replace(p, caption=HOSTILE) if i % 2 else p for i, p in enumerate(record.pictures))
    pictures = (dataclasses.replace(pictures[0], id=HOSTILE, label=HOSTILE, licence=HOSTILE), *pictures[1:])
    header = {**record.header, "data": HOSTILE}
    tables = tuple(dataclasses.replace(t, names=(HOSTILE, *t.names[1:])) for t in record.enrichments)
    columns = tuple(
        dataclasses.replace(c, names=(HOSTILE, *c.names[1:])) if c.name == "factor" else c for c in record.columns
    )
    labels = {**record.labels, 5: HOSTILE}
    record = dataclasses.replace(
        record, pictures=pictures, header=header, enrichments=tables, columns=columns, labels=labels
    )
    twin = collect(made.coder, made.store, made.items, top=4, per_group=2, explore=0, projection=None)
    directions = made.coder.W_dec
    render(compare(record, twin, directions, directions.flip(0), "seed 1"), out)
    return out


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    exe = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if exe is None:
        pytest.skip("no Chromium found; see the Makefile for how to install it")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=exe, headless=True, args=ARGS)
        yield found
        found.close()


class Page:
    """A page of the dashboard that remembers everything that went wrong."""

    def __init__(self, context, folder):
        self.folder, self.page, self.problems = folder, context.new_page(), []
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.problems.append(str(e)))
        self.page.on("requestfailed", lambda r: self.problems.append(f"failed {r.url}"))
        self.page.on(
            "request", lambda r: None if re.match(r"(file|data|blob):", r.url) else self.problems.append(r.url)
        )

    def open(self, hash="", view=None):
        self.page.goto("about:blank")
        self.page.goto((self.folder / "index.html").as_uri() + hash)
        self.ready(view)
        return self

    def ready(self, view=None):
        self.page.wait_for_selector(f"html[data-ready{f'={view}' if view else ''}]", state="attached", timeout=60000)

    def until(self, read, expected, seconds=60):
        """Wait for `read()` to equal what is expected; the page draws a moment after every event."""
        end = time.monotonic() + seconds
        while (found := read()) != expected and time.monotonic() < end:
            self.page.wait_for_timeout(30)
        assert found == expected

    @property
    def state(self):
        return self.page.evaluate("vitreous_state()")

    def ids(self):
        """Latents of the rows in the document, in the order on screen."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll('.row.item')]
            .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
            .map((row) => Number(row.querySelector('.id a').textContent))"""
        )


@pytest.fixture
def page(browser, folder):
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, reduced_motion="reduce", locale="en-GB", timezone_id="UTC"
    )
    context.set_offline(True)
    made = Page(context, folder)
    yield made
    assert made.problems == []
    assert made.page.evaluate("window.hacked") is None
    context.close()


def column(folder, name):
    table = wire.unscript((folder / "data" / "table.js").read_text(encoding="utf-8"))
    return wire.unarray(table["columns"][name])


def order(values, descending):
    """Sorted latents, undefined values last, ties by number."""
    key = np.where(np.isnan(values), -np.inf, values if descending else -values)
    return sorted(range(len(values)), key=lambda i: (-key[i], i))


def test_overview_sorts_by_any_column_both_ways(page, folder):
    page.open(view="latents")
    for name, title in (("density", "Density"), ("twin", "Nearest"), ("factor_f1", "F1")):
        button = page.page.get_by_role("button", name=title, exact=False).filter(has_text=re.compile(f"^{title}"))
        page.open(f"#/latents?sort={name}")
        expected = order(column(folder, name), descending=False)
        page.until(lambda: page.ids()[:10], expected[:10])
        button.first.click()
        page.until(lambda: page.state["sort"], f"-{name}")
        page.until(lambda: page.ids()[:10], order(column(folder, name), descending=True)[:10])


def test_search_filter_and_clear(page, folder):
    page.open(view="latents")
    page.page.keyboard.press("/")
    page.page.keyboard.type("planted thing")
    page.until(page.ids, [PLANTED])
    page.until(lambda: page.state["shown"], 1)
    page.page.get_by_label("search latents").fill("#17")
    page.until(page.ids, [17])
    page.page.get_by_label("search latents").fill("no such thing")
    page.page.get_by_text("No latent matches").wait_for()
    page.page.get_by_role("button", name="Show all").click()
    page.until(lambda: page.state["shown"], 300)
    page.page.get_by_label("State").select_option(label="dead")
    dead = np.flatnonzero(column(folder, "state") == 0)
    page.until(lambda: page.state["shown"], len(dead))
    page.until(lambda: set(page.ids()) <= set(dead.tolist()), True)
    page.page.locator(".toolbar .chip").click()
    page.until(lambda: page.state["shown"], 300)


def test_brush_on_a_histogram_filters_to_that_range(page, folder):
    page.open(view="latents")
    chart = page.page.locator("svg.histogram").first
    box = chart.bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 10, steps=4)
    page.page.mouse.up()
    low, high = page.state["ranges"]["density"]
    values = column(folder, "density")
    assert 0 < page.state["shown"] < 300
    page.until(lambda: page.state["shown"], int(((values >= low) & (values <= high)).sum()))
    assert "f.density" in page.page.url
    chart.click(position={"x": 20, "y": 10})
    page.until(lambda: page.state["shown"], 300)


def test_only_rows_in_view_are_in_the_document(page):
    page.open(view="latents")
    assert len(page.ids()) < 60
    page.page.locator(".scroller").evaluate("box => { box.scrollTop = box.scrollHeight }")
    page.page.wait_for_timeout(200)
    assert len(page.ids()) < 60
    assert page.page.locator(".row.item").last.is_visible()


def test_latent_page_shows_every_panel(page, folder):
    page.open(f"#/latent/{PLANTED}", view="latent")
    text = page.page.locator("main").inner_text()
    for word in ("Top images", "Across the range", "Uniform sample", "Near misses", "Silent", "Activations",
                 "Where in the image", "Factors", "Classes", "Nearest latents"):  # fmt: skip
        assert word in text, word
    assert page.page.get_by_label("label of this latent").input_value() == "planted thing"
    assert page.page.locator(".group.top .tile").count() == 6
    assert page.page.locator(".group.top .tile img").first.evaluate("img => img.complete && img.naturalWidth > 0")


def test_drawn_heatmap_peaks_in_the_true_mask(page, folder, made):
    page.open(f"#/latent/{PLANTED}", view="latent")
    pixels = page.page.evaluate(
        """() => [...document.querySelectorAll('.group.top .tile canvas')].map((c) => {
            const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            return { rows: c.height, cols: c.width, alpha: [...data].filter((_, i) => i % 4 === 3) };
        })"""
    )
    pictures = wire.unscript((folder / "data" / "pictures_0000.js").read_text(encoding="utf-8"))["pictures"]
    shard = wire.unscript((folder / "data" / "f_0000.js").read_text(encoding="utf-8"))
    top = wire.unarray(shard["groups"][0]["picture"])[PLANTED]
    assert len(pixels) == 6
    for picture, drawn in zip(top, pixels, strict=True):
        name = pictures[picture]["id"]
        if name == HOSTILE:
            continue
        mask = made.masks[made.store.image_ids.index(name)]
        assert (drawn["rows"], drawn["cols"]) == mask.shape
        lit = np.array(drawn["alpha"]).reshape(mask.shape)
        assert mask.ravel()[lit.argmax()]
        assert not lit[~mask].any()


def test_modes_opacity_and_scale_are_in_the_address_and_survive_a_reload(page):
    page.open("#/latent/4", view="latent")
    page.page.get_by_role("radio", name="Mask").click()
    page.page.get_by_label("opacity of the overlay").fill("30")
    page.page.get_by_label("Scale").select_option("latent")
    before = page.state
    assert (before["mode"], before["opacity"], before["scale"]) == ("mask", 30, "latent")
    page.open(page.page.url[page.page.url.index("#") :], view="latent")
    assert page.state == before
    assert page.page.locator(".group.top canvas").first.evaluate("c => getComputedStyle(c).opacity") == "0.3"


def test_back_and_forward(page):
    page.open("#/latents?sort=-max", view="latents")
    first = page.ids()[0]
    page.page.locator(".row.item a").first.click()
    page.ready("latent")
    page.until(lambda: page.state["latent"], first)
    page.page.keyboard.press("j")
    second = page.state["latent"]
    assert second != first
    page.page.go_back()
    page.until(lambda: page.state["latent"], first)
    page.page.go_back()
    page.ready("latents")
    page.until(lambda: page.state["sort"], "-max")
    page.page.go_forward()
    page.ready("latent")
    page.until(lambda: page.state["latent"], first)


def test_keyboard_alone_reaches_a_latent_and_comes_back(page):
    page.open(view="latents")
    page.page.keyboard.press("j")
    page.page.keyboard.press("j")
    second = page.ids()[1]
    page.page.keyboard.press("Enter")
    page.ready("latent")
    page.until(lambda: page.state["latent"], second)
    page.page.keyboard.press("m")
    page.until(lambda: page.state["mode"], "mask")
    page.page.keyboard.press("Escape")
    page.ready("latents")
    page.page.keyboard.press("?")
    page.page.get_by_role("dialog").wait_for()


def test_licence_and_caption_on_hover_are_text(page):
    page.open(f"#/latent/{PLANTED}", view="latent")
    page.page.locator(".group.top .frame").nth(1).hover()
    tip = page.page.locator(".tip")
    tip.wait_for()
    assert "CC0-1.0" in tip.inner_text()
    page.page.locator(".group.top .frame").first.hover()
    assert page.page.locator(".tip img, .tip script").count() == 0


def test_hostile_text_is_shown_as_text_everywhere(page):
    page.open("#/latents?sort=id", view="latents")
    assert HOSTILE in page.page.locator(".provenance").text_content()
    assert HOSTILE in page.page.locator(".row.item", has_text="5").nth(0).locator("xpath=..").text_content()
    page.open("#/latent/5", view="latent")
    assert page.page.get_by_label("label of this latent").input_value() == HOSTILE
    page.page.wait_for_timeout(200)
    assert page.page.locator("img[src='x']").count() == 0


def first_explorable(folder, made):
    """The pictures that can be explored, and the true mask of the first one."""
    pictures = wire.unscript((folder / "data" / "pictures_0000.js").read_text(encoding="utf-8"))["pictures"]
    explore = wire.unscript((folder / "data" / "manifest.js").read_text(encoding="utf-8"))["explore"]["pictures"]
    name = pictures[explore[0]]["id"]
    return explore, made.masks[0 if name == HOSTILE else made.store.image_ids.index(name)]


def test_image_view_ranks_the_planted_latent_first_on_its_region(page, folder, made):
    explore, mask = first_explorable(folder, made)
    page.open("#/images", view="images")
    page.page.locator(".regions button").first.click()
    page.until(page.page.locator(".ranking a b").first.inner_text, str(PLANTED))
    page.page.get_by_role("button", name="Pick its patches").click()
    page.until(lambda: page.state["cells"], np.flatnonzero(mask).tolist())
    page.page.keyboard.press("j")
    page.until(lambda: page.state["image"], explore[1])


def test_picking_patches_by_hand(page):
    page.open("#/images", view="images")
    box = page.page.locator(".canvas").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.1)
    page.until(lambda: page.state["cells"], [1])
    page.page.get_by_role("button", name="CLS").click()
    page.until(lambda: page.state["cells"], [1, 20])


def test_labels_are_kept_exported_and_imported(page, tmp_path):
    page.open("#/latent/8", view="latent")
    page.page.keyboard.press("l")
    page.page.keyboard.type("my „ring“ <b>")
    page.page.keyboard.press("Enter")
    page.open("#/latents?q=ring", view="latents")
    page.until(page.ids, [8])
    page.open("#/latents", view="latents")
    with page.page.expect_download() as event:
        page.page.get_by_role("button", name="Export labels").click()
    rows = {row["latent"]: row for row in map(json.loads, event.value.path().read_text(encoding="utf-8").splitlines())}
    assert rows[8]["label"] == "my „ring“ <b>"
    assert rows[PLANTED]["label"] == "planted thing"
    path = tmp_path / "labels.jsonl"
    path.write_text('{"latent": 8, "label": "other"}\nnonsense\n{"latent": 9, "label": "nine"}\n', encoding="utf-8")
    page.page.get_by_label("Import labels").set_input_files(path)
    page.page.get_by_text("2 read, 1 replaced, 1 lines not understood").wait_for()
    page.page.get_by_label("search latents").fill("nine")
    page.until(page.ids, [9])


def test_two_dashboards_keep_their_labels_apart(page, folder, tmp_path):
    page.open("#/latent/8", view="latent")
    page.page.get_by_label("label of this latent").fill("mine")
    page.page.keyboard.press("Enter")
    copy = tmp_path / "other"
    shutil.copytree(folder, copy)
    manifest = wire.unscript((copy / "data" / "manifest.js").read_text(encoding="utf-8"))
    (copy / "data" / "manifest.js").write_text(wire.script("manifest", {**manifest, "run": "two"}), encoding="utf-8")
    page.folder = copy
    page.open("#/latent/8", view="latent")
    assert page.page.get_by_label("label of this latent").input_value() == ""


def test_map_hovers_colours_and_lassoes(page, folder):
    page.open("#/map?colour=density", view="map")
    box = page.page.locator(".field canvas").bounding_box()
    page.page.get_by_role("button", name="Lasso").click()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.page.mouse.move(x - 150, y - 150)
    page.page.mouse.down()
    for dx, dy in ((0, -150), (150, -150), (150, 0), (150, 150), (0, 150), (-150, 150), (-150, 0)):
        page.page.mouse.move(x + dx, y + dy)
    page.page.mouse.up()
    page.until(lambda: len(page.state["area"]) > 2, True)
    shown = page.state["shown"]
    assert 0 < shown < 300
    page.page.get_by_role("button", name="Show them in the table").click()
    page.ready("latents")
    place = wire.unarray(wire.unscript((folder / "data" / "map.js").read_text(encoding="utf-8"))["place"])
    low, high = np.min(page.state["area"], axis=0) - 0.01, np.max(page.state["area"], axis=0) + 0.01
    assert all(((place[i] >= low) & (place[i] <= high)).all() for i in page.ids())


def test_compare_pairs_each_latent_with_its_match(page, folder):
    page.open(f"#/compare/{PLANTED}", view="compare")
    found = wire.unscript((folder / "data" / "compare.js").read_text(encoding="utf-8"))
    score = wire.unarray(found["score"])[PLANTED]
    page.page.get_by_text(f"{score:.3f}").first.wait_for()
    title = page.page.locator(".sides .panel h3 b").nth(1)
    title.wait_for()
    page.until(title.inner_text, str(wire.unarray(found["index"])[PLANTED]))
    page.page.get_by_role("radio", name="seed 1").click()
    best = int(wire.unarray(found["back_score"]).argmax())
    page.until(page.page.locator(".pairs .neighbours b").first.inner_text, str(best))


def test_png_of_the_top_images_holds_their_pixels(page):
    page.open(f"#/latent/{PLANTED}", view="latent")
    with page.page.expect_download() as event:
        page.page.get_by_role("button", name="PNG").first.click()
    with Image.open(event.value.path()) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    assert (np.abs(pixels - (214, 62, 48)).max(1) < 40).sum() > 200  # the red of a drawn square
    assert image.width == 6 * 168 + 8


def test_single_file_opens_and_shows_everything(browser, tmp_path):
    made = world(30)
    record = collect(made.coder, made.store, made.items, top=4, per_group=2, projection="pca", names={2: HOSTILE})
    path = render_single(record, tmp_path / "one.html")
    context = browser.new_context()
    context.set_offline(True)
    page = Page(context, tmp_path)
    for hash, view in (("#/latents", "latents"), ("#/latent/3", "latent"), ("#/images", "images"), ("#/map", "map")):
        page.page.goto("about:blank")
        page.page.goto(path.as_uri() + hash)
        page.ready(view)
    page.page.goto(path.as_uri() + "#/latent/3")
    page.page.wait_for_function("[...document.querySelectorAll('.group.top img')].some(i => i.naturalWidth > 0)")
    assert page.problems == []
    assert page.page.evaluate("window.hacked") is None
    context.close()


def test_csv_holds_the_shown_rows_and_no_formula(page):
    page.open("#/latents?q=square&sort=id", view="latents")
    with page.page.expect_download() as event:
        page.page.get_by_role("button", name="Download CSV").click()
    text = event.value.path().read_text(encoding="utf-8")
    assert text.splitlines()[0].startswith("latent,label,density")
    assert len(text.splitlines()) == page.state["shown"] + 1


def test_dark_light_and_wide(browser, folder):
    for scheme, width in (("dark", 1920), ("light", 1280), ("light", 390)):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_offline(True)
        page = Page(context, folder)
        for hash, view in (("#/latents", "latents"), (f"#/latent/{PLANTED}", "latent")):
            page.open(hash, view)
            page.page.wait_for_timeout(100)
            assert page.page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width, view)
        assert page.problems == []
        context.close()


def test_a_newer_schema_is_refused_with_a_message(browser, folder, tmp_path):
    copy = tmp_path / "newer"
    shutil.copytree(folder, copy)
    path = copy / "data" / "manifest.js"
    manifest = wire.unscript(path.read_text(encoding="utf-8"))
    path.write_text(wire.script("manifest", {**manifest, "schema": "2.0"}), encoding="utf-8")
    page = Page(browser.new_context(), copy).open(view="error")
    assert "schema 2.0" in page.page.locator("#app").inner_text()
    assert json.loads(json.dumps(page.problems)) == []
