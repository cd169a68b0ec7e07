"""report.html in a real browser, opened from its file with the network off."""

import shutil

import numpy as np
import pytest
from made_folders import key_of, made_records, write_folder

from benchmarks.report import main

pytestmark = [pytest.mark.slow, pytest.mark.browser]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HARMLESS = ("data:", "WARN Infinite extent")
"""Images, and what Vega says of a figure whose marks are all hidden."""

SCRIPT = "<script>document.title = 'run'</script>"


def write_pictures(folder, key):
    """Eight generated and real images of two clients, for the cell with this key."""
    (folder / "pictures").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 1, 8, 8), dtype=np.uint8)
    np.savez(folder / "pictures" / f"{key}.npz", clients=[0, 3], generated=images, real=images)


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of four methods, two omegas and two kinds of widths; one label is markup."""
    folder = tmp_path_factory.mktemp("page")
    accuracies = {
        "local": [0.2, 0.25],
        "fedavg": [0.6, 0.62],
        SCRIPT: [0.5, 0.53],
        "mosaic": [0.7, 0.74],
    }
    full = made_records(accuracies, omegas=(0.1, 1.0), data_free=True, needs="")
    full["client_coverage"] = "0.500 nan nan 1.000"
    full["client_duplicates"] = "0.250 nan nan nan"
    full["client_nearest_real"] = "0.071 nan nan 1.204"
    mixed = made_records(accuracies, omegas=(0.1,), widths="mixed")
    write_folder(full, folder / "a")
    write_pictures(folder / "a", key_of("mosaic", 0.1, 0))
    write_folder(mixed.assign(cell=mixed["cell"] + "m"), folder / "b")
    assert main([str(folder / "a"), str(folder / "b"), "--out", str(folder / "report.html")]) == 0
    return (folder / "report.html").as_uri()


@pytest.fixture(params=[400, 1600])
def page(request, browser, address):
    """The open page; messages on its console and requests of it are errors."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, offline=True)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda sent: said.append(sent.url) if sent.url != address else None)
    page.goto(address)
    yield page
    assert [text for text in said if not text.startswith(HARMLESS)] == []
    context.close()


def rows(page):
    """The methods of the first table that are shown, from above to below."""
    return page.eval_on_selector_all(
        "#table table:first-of-type tbody",
        "bodies => [...bodies[0].rows].filter(row => !row.hidden).map(row => row.dataset.label)",
    )


def test_figures_are_drawn_when_they_come_into_view_and_nothing_is_wider_than_the_window(page):
    figures = page.locator("figure.block")
    assert figures.count() >= 10
    for i in range(figures.count()):
        figures.nth(i).scroll_into_view_if_needed()
        svg = figures.nth(i).locator(".chart svg")
        svg.wait_for()
        assert svg.locator(".mark-symbol path").count() >= 2
        box = svg.bounding_box()
        assert box["width"] > 200 and box["height"] > 60
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_label_with_markup_is_shown_as_text_and_no_script_of_it_runs(page):
    assert page.locator("#table").get_by_text(SCRIPT).first.is_visible()
    assert page.title() == "Mosaic-Bench: made"


def test_headings_sort_and_say_so(page):
    heading = page.locator("#table th[aria-sort]").nth(1)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert rows(page) == ["mosaic", "fedavg", SCRIPT, "local"]
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert rows(page) == ["local", SCRIPT, "fedavg", "mosaic"]


def test_filters_hide_settings_omegas_methods_and_their_marks(page):
    page.select_option("select[name=widths]", "full")
    assert page.locator("#table .block:visible").count() == 1
    page.select_option("select[name=omega]", "0.1")
    assert page.locator("#table td[data-omega='1']:visible").count() == 0
    assert page.locator("#forest figure.block:visible").count() == 1

    figure = page.locator("#forest figure.block:visible")
    figure.scroll_into_view_if_needed()
    marks = figure.locator(".chart svg .mark-symbol path")
    marks.first.wait_for()
    before = marks.count()
    page.locator("input[name=method][value=fedavg]").uncheck()
    page.wait_for_function(
        "n => document.querySelector('#forest figure.block:not([hidden]) .chart svg')"
        ".querySelectorAll('.mark-symbol path').length === n",
        arg=before - 1,
    )
    assert "fedavg" not in rows(page)
    page.locator("button[type=reset]").click()
    page.wait_for_function("document.querySelectorAll('#table .block:not([hidden])').length === 2")
    assert len(rows(page)) == 4


def test_filters_act_on_images_and_on_all_other_tables(page):
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")

    def shown(selector):
        return page.locator(f"{selector}:visible").count()

    tables = shown("#tables details")
    of_mosaic = {name: shown(f"#{name} tr[data-label=mosaic]") for name in ("tables", "fairness")}
    assert all(of_mosaic.values()) and shown("#pictures details") == 1
    page.select_option("select[name=omega]", "1")
    assert 0 < shown("#tables tr[data-label=mosaic]") < of_mosaic["tables"]
    page.locator("input[name=method][value=mosaic]").uncheck()
    assert shown("#tables tr[data-label=mosaic]") == shown("#fairness tr[data-label=mosaic]") == 0

    page.locator("button[type=reset]").click()
    page.wait_for_function("document.querySelectorAll('#table .block:not([hidden])').length === 2")
    page.select_option("select[name=widths]", "mixed")
    assert shown("#pictures details") == 0 and 0 < shown("#tables details") < tables
    page.select_option("select[name=widths]", "")
    page.locator("input[name=method][value=mosaic]").uncheck()
    assert shown("#pictures details") == 0 and shown("#tables details") == tables


def test_generated_and_real_images_are_shown_client_by_client(page):
    images = page.locator("#pictures img")
    assert images.count() == 4
    assert page.locator("#pictures figcaption").all_inner_texts() == [
        "client 0; draws 50% of its classes; 25% near-duplicates; nearest real image at 0.07",
        "client 3; draws 100% of its classes; nearest real image at 1.20",
    ]
    note = page.locator("#pictures .note").inner_text()
    assert "where 1 is how far its own images are from each other" in note
    widths = images.evaluate_all("all => all.map(image => image.naturalWidth)")
    assert widths == [64, 64, 64, 64]


def test_it_has_what_a_screen_reader_needs(page):
    for selector in ("main", "nav[aria-label]", "h1", "html[lang]", "table caption"):
        assert page.locator(selector).count() >= 1, selector
    unnamed = page.eval_on_selector_all(
        "input, select, button",
        "all => all.filter(e => !(e.labels?.length || e.textContent)).length",
    )
    assert unnamed == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("img:not([alt]), [role=img]:not([aria-label])").count() == 0


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.mark.parametrize("width", [400, 1600])
def test_axe_finds_nothing_serious_in_either_mode_at_either_width(browser, address, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        bypass_csp=True,  # for axe's own script
    )
    page = context.new_page()
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.locator("#forest .chart svg").first.wait_for()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        f"{rule['id']}: {rule['nodes'][0]['html'][:120]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]
    assert serious == []
    context.close()


def test_the_keyboard_reaches_filters_headings_and_the_pictures_of_clients(page):
    page.locator("#answer").click()
    reached = []
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => {
                    const e = document.activeElement;
                    const inside = e.closest("#filters, th[aria-sort], #pictures");
                    return inside ? `${inside.id || "heading"} ${e.tagName}` : "";
                }"""
            )
        )
    wanted = {"filters SELECT", "filters INPUT", "filters BUTTON", "heading BUTTON"}
    assert wanted <= set(reached)
    assert "pictures SUMMARY" in reached
    details = page.locator("#pictures details")
    was_open = details.get_attribute("open")
    details.locator("summary").press("Enter")
    assert details.get_attribute("open") != was_open


def test_in_print_every_figure_is_drawn_light_and_nothing_is_wider_than_the_paper(
    browser, address, scheme
):
    context = browser.new_context(viewport={"width": 794, "height": 1123}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.emulate_media(media="print", color_scheme=scheme)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(
        "[...document.querySelectorAll('figure.block:not([hidden])')]"
        ".every(figure => figure.querySelector('.chart svg'))"
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#filters").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()
