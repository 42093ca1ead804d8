"""Test the page in a real browser: it draws, sorts, filters, opens pictures, and uses no network."""

import base64
import io
import json
import re
import shutil

import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.records.store import Store
from benchmark.report.page_command import page
from tests.benchmark.fake import FakeRunner, MethodConfig, matrix, schedule

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def webp(level):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (level, level, level)).save(buffer, "webp")
    return base64.b64encode(buffer.getvalue()).decode()


def case(name, quality):
    pictures = {kind: webp(level) for kind, level in (("photo", 90), ("truth", 200), ("map", 150))}
    return {"image": name, "kind": "scratch", "score": 0.5, "quality": quality, **pictures}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Make fake results with pictures; the name of one row tries to end the script element."""
    place = tmp_path_factory.mktemp("report")
    rows = [*matrix().methods, MethodConfig("</script><b>Evil</b>", "VCPCLIP")]
    cells = matrix(methods=rows).cells()
    schedule(place / "results", cells=cells, runner=FakeRunner(place / "journal", failing=("Two/i",))).run()
    for _, result in Store(place / "results").results():
        for index, category in enumerate(result.categories):
            path = place / "results/pictures" / result.fingerprint / f"{category}.json"
            path.write_text(json.dumps([case(f"{number}.png", (number + index) % 3 / 3) for number in range(3)]))
    return place / "results"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def html(results):
    assert main(["report", "--results", str(results)]) == 0
    return results / "report.html"


@pytest.fixture
def opened(browser, html):
    """Open the page and collect errors and requests."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light")
    tab = context.new_page()
    problems, requests = [], []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(html.as_uri())
    yield tab
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


def column(tab, number):
    return tab.locator(f"#board tbody tr > *:nth-child({number})").all_inner_texts()


def names(tab):
    return tab.locator("#board tbody th .name > span:last-child").all_inner_texts()


def test_a_click_sorts_and_another_turns_it_round(opened):
    button = opened.get_by_role("button", name="alpha", exact=True)
    button.click()
    head = opened.locator("th[aria-sort=descending]")
    assert head.inner_text() == "alpha"
    values = [float(text) for text in column(opened, 2)]
    assert values == sorted(values, reverse=True) and len(set(values)) > 1
    opened.keyboard.press("Enter")  # the focus stays on the button
    assert opened.locator("th[aria-sort=ascending]").inner_text() == "alpha"
    assert [float(text) for text in column(opened, 2)] == sorted(values)


def test_rows_are_filtered_by_name_and_role(opened):
    assert len(names(opened)) == 4 and not any("w/o X" in name for name in names(opened))
    opened.get_by_label("ablations").check()
    assert len(names(opened)) == 5
    opened.get_by_label("Find a method").fill("one")
    assert [name.split("ablation")[0].strip() for name in sorted(names(opened))] == ["One", "One w/o X"]
    assert opened.locator("#count").inner_text().startswith("2 of 5 rows")
    opened.get_by_label("methods", exact=True).uncheck()
    assert len(names(opened)) == 1


def test_another_metric_changes_columns_and_charts(opened):
    assert opened.get_by_role("button", name="beta", exact=True).count() == 1
    opened.get_by_label("Metric").select_option("P-AUROC")
    assert opened.get_by_role("button", name="beta", exact=True).count() == 0
    assert "P-AUROC" in opened.locator("#bars svg").get_attribute("aria-label")
    opened.get_by_label("Metric").select_option("I-AUROC")
    before = opened.locator("#bars svg").inner_html()
    opened.locator("#target").select_option("beta")
    assert opened.locator("#bars svg").inner_html() != before
    assert opened.locator("#speed svg circle").count() == 3
    assert opened.locator("#ablation svg rect").count() == 3


def test_a_failure_is_a_hole_with_its_reason(opened):
    assert "failed" in opened.locator("#board tbody").inner_text()
    assert "i cannot be tested" in opened.locator("#failures").inner_text()


def test_a_case_opens_turns_over_and_closes_by_keyboard(opened):
    first = opened.locator("#gallery .case > button").first
    first.focus()
    opened.keyboard.press("Enter")
    dialog = opened.locator("#viewer")
    assert dialog.is_visible()
    title = opened.locator("#viewer-title").inner_text()
    assert "alpha / a" in title and "1 of" in title
    assert dialog.locator("img").count() == 2 + 4  # image, truth, and a map of every row that is shown
    opened.keyboard.press("ArrowRight")
    assert "2 of" in opened.locator("#viewer-title").inner_text()
    opened.keyboard.press("ArrowLeft")
    assert opened.locator("#viewer-title").inner_text() == title
    opened.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert opened.evaluate("document.activeElement.matches('#gallery .case > button')")


def test_pictures_are_drawn_and_cases_can_be_chosen(opened):
    assert opened.evaluate("[...document.querySelectorAll('#gallery img')].every((image) => image.naturalWidth > 0)")
    opened.locator("#gallery-why").select_option("worst of One")
    assert opened.locator("#gallery .case").count() == 1
    assert "worst of" in opened.locator("#gallery .case > p").inner_text()
    opened.locator("#gallery-category").select_option("all")
    assert opened.locator("#gallery .case").count() == 3


def test_everything_is_reached_with_the_tab_key(opened):
    reached = set()
    for _ in range(60):
        opened.keyboard.press("Tab")
        reached.add(opened.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"metric", "find", "target", "gallery-target", "gallery-why", "Method", "Mean"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_sideways_scrolling(browser, html, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(html.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate("document.querySelector('.scroll').scrollWidth > document.querySelector('.scroll').clientWidth")
    tab.locator("#gallery .case > button").first.click()
    box = tab.locator("#viewer").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    back, ink = tab.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    light = [sum(map(int, re.findall(r"\d+", each)[:3])) for each in (back, ink)]
    assert (light[0] > light[1]) == (scheme == "light")
    context.close()


def test_data_cannot_break_out_of_the_page(results, opened):
    assert opened.locator("b", has_text=re.compile("^Evil$")).count() == 0
    assert any("</script><b>Evil</b>" in name for name in names(opened))
    assert page(results).count("</script>") == 2


def test_only_allowed_pictures_are_shown(results):
    def targets(wanted):
        (content,) = re.findall(r'<script id="data".*?>(.*?)</script>', page(results, wanted), flags=re.DOTALL)
        return [entry["target"] for board in json.loads(content) for entry in board["gallery"]]

    assert targets(None) == ["alpha", "beta", "gamma"]
    assert targets(["beta"]) == ["beta"]
    assert targets([]) == []


def test_an_unknown_target_of_the_gallery_is_one_sentence(results, capsys):
    assert main(["report", "--results", str(results), "--gallery", "[alhpa]"]) == 2
    assert "did you mean 'alpha'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shots_html(tmp_path_factory):
    """Make fake results with references, in which one method has none without references."""
    place = tmp_path_factory.mktemp("shots")
    rows = [*matrix().methods[:2], MethodConfig("Fitted", "a.b.C", backbone="tiny", fitted_on="references")]
    cells = matrix(methods=rows, shots=[0, 1, 4], draws=[0, 1]).cells()
    schedule(place / "results", cells=cells, runner=FakeRunner(place / "journal", thresholds=True)).run()
    assert main(["report", "--results", str(place / "results")]) == 0
    return place / "results/report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_line_per_method_shows_figures_by_number_of_references(browser, shots_html, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(shots_html.as_uri())
    boards = tab.locator("#backbone option").all_inner_texts()
    assert boards == ["tiny, 0 references", "tiny, 1 reference", "tiny, 4 references"]
    chart = tab.locator("#shots svg")
    assert chart.get_attribute("aria-label") == "Mean I-AUROC of every method by number of references"
    points = [each.get_attribute("points").split() for each in chart.locator("polyline").all()]
    assert sorted(map(len, points)) == [2, 3, 3] and "NaN" not in str(points)
    # Every point has a bar of one deviation, and says what it is.
    assert chart.locator(".mark path").count() == chart.locator(".mark circle").count() == 8
    assert re.fullmatch(r"Two, 0: \d+\.\d ± \d+\.\d", chart.locator(".mark title").nth(5).text_content())
    assert tab.locator("#shots .legend li").all_inner_texts() == ["Fitted", "One", "Two"]

    def colours():
        return tab.evaluate(
            "[...document.querySelectorAll('#shots polyline')].map((each) => getComputedStyle(each).stroke)"
        )

    before = colours()
    assert len(set(before)) == 3 and "none" not in before
    tab.locator("#backbone").select_option("2")
    assert colours() == before and "Fitted" in tab.locator("#board tbody").inner_text()
    tab.get_by_label("Find a method").fill("fit")
    assert tab.locator("#shots polyline").count() == 1
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert problems == []
    context.close()


def test_figures_at_a_threshold_have_a_table_of_data_sets_and_of_categories(browser, shots_html, opened):
    assert opened.locator("#threshold-section").is_hidden() and opened.locator("#shots-section").is_hidden()
    tab = browser.new_context().new_page()
    tab.goto(shots_html.as_uri())
    heads = tab.locator("#threshold thead th").all_inner_texts()
    assert heads == ["Method", "alpha", "beta", "gamma", "Mean"]
    cells = tab.locator("#threshold tbody td").all_inner_texts()
    assert len(cells) == 2 * 4 and all(re.fullmatch(r"\d+\.\d / \d+\.\d", text) for text in cells)
    tab.locator("#threshold-target").select_option("beta")
    assert tab.locator("#threshold thead th").all_inner_texts() == ["Method", "d", "e"]
    assert "recall" not in tab.locator("#metric").inner_text()
    tab.context.close()
