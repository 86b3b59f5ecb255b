"""The report, as a browser shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from cifar_edge.classify import report
from cifar_edge.classify.report import Report
from cifar_edge.errors import UsageError
from cifar_edge.results.row import Row
from cifar_edge.system.opening import look
from cifar_edge.tflite.model import EdgeModel
from tests.conftest import PHOTOS, Outcome
from tests.system.test_opening import CHANGES

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is missing: install the extra `dev`")
CAT = PHOTOS / "cat" / "chelsea.jpg"
LABELS = ("cat", "deer", "dog")


def row(path: str | Path, label: str = "cat", confidence: float = 0.9, error: str = "") -> Row:
    if error:
        return Row(str(path), "", None, (), error, 1.0, "model.tflite")
    other = "dog" if label == "cat" else "cat"
    return Row(str(path), label, confidence, ((label, confidence), (other, 1 - confidence)), "", 1.0, "model.tflite")


class Model(NamedTuple):
    """What a report asks of a model."""

    labels: Sequence[str]
    path: Path
    card: None = None


def report_at(path: Path, labels: Sequence[str] = LABELS, model: str = "model.tflite") -> Report:
    return Report(path, cast(EdgeModel, Model(labels, Path(model))))


def write(path: Path, rows: list[Row], labels: Sequence[str] = LABELS, model: str = "model.tflite") -> Path:
    page = report_at(path, labels, model)
    for each in rows:
        page.add(each)
    page.write()
    return path


class Browser:
    """A page in headless Chromium, and the questions that tests ask of it."""

    def __init__(self) -> None:
        programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
        if not all(programs):
            pytest.skip("chromium or chromedriver is missing: apt-get install chromium chromium-driver")
        options = selenium.ChromeOptions()
        options.binary_location = programs[0]
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = selenium.Chrome(options=options, service=selenium.ChromeService(programs[1]))

    def open(self, page: Path) -> None:
        self.driver.get(page.as_uri())
        assert self.driver.get_log("browser") == []

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def type(self, selector: str, *keys: str) -> None:
        self.driver.find_element("css selector", selector).send_keys(*keys)

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map(node => node.innerText)"
        return [text.replace("\xa0", " ") for text in self.run(script, selector)]

    def confidence(self, low: int, high: int) -> None:
        for thumb, value in (("low", low), ("high", high)):
            self.run("the(arguments[0]).value = arguments[1]; the(arguments[0]).oninput()", thumb, value)

    def requests(self) -> set[str]:
        """Return the schemes of everything the page asked for since the last call."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        sent = (each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent")
        return {urlsplit(url).scheme for url in sent}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on seven photos, one of which vanished after it was classified, and one that is none."""
    folder = tmp_path_factory.mktemp("report")
    rows = [
        row(CAT, "cat", 0.95),
        row(PHOTOS / "cat" / "kitten_fence.jpg", "dog", 0.45),
        row(PHOTOS / "deer" / "moose.jpg", "deer", 0.7),
        row(PHOTOS / "deer" / "stag.png", "dog", 0.5),
        row(PHOTOS / "deer" / "wapiti.png", "deer", 0.99996),
        row(PHOTOS / "dog" / "vanished.jpg", "dog", 0.6),
        row(PHOTOS / "dog" / "spaniels.jpg", "unknown", 0.3),
        row(PHOTOS / "dog" / "text.jpg", error="not an image <b>"),
    ]
    return write(folder / "report.html", rows)


def test_least_certain_first(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.texts("h1") == ["8 photos, classified"]
    assert browser.texts("#facts dd")[:2] == ["model.tflite", "not known"]
    assert browser.texts("#classes button") == ["dog\n3", "deer\n2", "cat\n1", "unknown\n1"]
    assert browser.texts(".verdict b") == ["unknown", "dog", "dog", "dog", "deer", "cat", "deer"]
    assert browser.texts(".verdict span") == ["30 %", "45 %", "50 %", "60 %", "70 %", "95 %", "100 %"]
    assert browser.run("return [...document.images].every(image => image.complete && image.naturalWidth === 120)")
    assert browser.run("return document.images.length") == 6
    assert browser.texts(".gone") == ["no longer readable"]
    assert browser.run("return document.images[1].alt") == "kitten_fence.jpg, classified as dog"
    browser.run("the('order').value = 'path'; filter()")
    assert browser.texts(".verdict b") == ["cat", "dog", "deer", "dog", "deer", "dog", "unknown"]


def test_filters(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("#classes li:first-child button")
    assert browser.texts(".verdict span") == ["45 %", "50 %", "60 %"]
    assert browser.texts("#classes [aria-pressed=true]") == ["dog\n3"]
    browser.confidence(50, 100)
    assert browser.texts(".verdict span") == ["50 %", "60 %"]
    assert browser.texts("#status") == ["2 photos."]
    browser.click("#classes li:first-child button")
    assert browser.texts(".verdict span") == ["50 %", "60 %", "70 %", "95 %", "100 %"]
    browser.confidence(0, 60)
    assert browser.texts(".verdict span") == ["30 %", "45 %", "50 %", "60 %"]
    browser.type("#search", "DEER/")
    assert browser.texts("#gallery p:last-child") == ["stag.png"]
    browser.click("#reset")
    assert len(browser.texts(".verdict")) == 7


def test_it_obeys_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.type("#classes li:nth-child(2) button", " ")
    assert browser.texts(".verdict b") == ["deer", "deer"]
    browser.type("#high", *["\ue012"] * 5)  # five times arrow left
    assert browser.texts("#between") == ["0 to 95 %"]
    assert browser.texts(".verdict span") == ["70 %"]
    browser.type("#view-gallery", "\ue014")  # arrow right
    assert browser.texts("tbody td:nth-child(2)") == ["deer"]


def test_errors_have_their_reasons(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("#figures button:last-child")
    assert browser.texts("tbody td:last-child") == ["not an image <b>"]
    assert browser.texts("tbody a") == ["text.jpg"]


def test_labelled_folders_give_accuracy_and_confusion(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert "57.1 %" in browser.texts("#figures b")
    browser.click("#view-confusion")
    assert browser.texts("#confusion thead th") == ["", "cat", "deer", "dog", "unknown", ""]
    assert [line.split() for line in browser.texts("#confusion tbody tr")] == [
        ["cat", "1", "1", "50", "%"],
        ["deer", "2", "1", "67", "%"],
        ["dog", "1", "1", "50", "%"],
    ]
    browser.click("#confusion tbody tr:nth-child(2) td:nth-child(4) button")
    assert browser.texts(".verdict b, .wrong") == ["dog", "✗ is deer"]
    browser.run("the('truth').value = 'mistake'; filter()")
    assert browser.texts(".wrong") == ["✗ is cat", "✗ is deer"]


def test_of_many_classes_the_frequent_mistakes_are_listed(browser: Browser, tmp_path: Path) -> None:
    names = [f"class{number}" for number in range(60)]
    rows = [row(f"{name}/{number}.jpg", name, 0.9) for name in names for number in range(2)]
    rows += [row(f"class7/{number}.jpg", "class8", 0.5) for number in range(3)]
    browser.open(write(tmp_path / "report.html", rows, names))
    browser.click("#view-confusion")
    assert browser.texts("#status")[0].startswith("The most frequent mistakes")
    assert [line.split() for line in browser.texts("tbody tr")] == [["class7", "class8", "3"]]
    browser.click("tbody button")
    assert browser.texts(".verdict b, .wrong") == ["class8", "✗ is class7"] * 3


def test_other_folders_give_none(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path / "report.html", [row(CAT), row(PHOTOS / "bird" / "heron.jpg")]))
    assert browser.texts("#views label") == ["Gallery", "List"]
    assert not browser.driver.find_element("id", "truth").is_displayed()


ODD = (
    b"<img src=x onerror=alert(1)>.jpg",
    b"a</script><script>alert(2)</script>.jpg",
    b"<!--<script>.jpg",
    b"{{data}} ${alert(3)} \\u003c.jpg",
    b"caf\xe9 & 100% #1?.jpg",
    b"new\nline.jpg",
    b"javascript:alert(4)/\xf0\x9f\x90\x88.jpg",
)


def test_odd_names_are_text(browser: Browser, tmp_path: Path) -> None:
    paths = [os.fsencode(tmp_path) + b"/photos/" + name for name in ODD]
    for path in paths:
        photo = Path(os.fsdecode(path))
        photo.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CAT, photo)
    (tmp_path / "pages").mkdir()
    rows = [row(os.fsdecode(path), "<i>cat</i>") for path in paths]
    browser.open(write(tmp_path / "pages" / "report.html", rows, model="<b>"))
    assert browser.texts("#facts dd")[0] == "<b>"
    assert set(browser.texts(".verdict b")) == {"<i>cat</i>"}
    assert browser.run("return document.scripts.length") == 2
    assert browser.run("return [...document.images].every(image => image.src.startsWith('data:'))")
    browser.click("#view-list")
    shown = browser.texts("tbody td:first-child")
    assert shown == [
        f"{tmp_path}/photos/{name}"
        for name in (
            "<img src=x onerror=alert(1)>.jpg",
            "a</script><script>alert(2)</script>.jpg",
            "<!--<script>.jpg",
            "{{data}} ${alert(3)} \\u003c.jpg",
            "caf\\xe9 & 100% #1?.jpg",
            "new\\x0aline.jpg",
            "javascript:alert(4)/🐈.jpg",
        )
    ]
    links = browser.run("return [...document.querySelectorAll('tbody a')].map(link => link.href)")
    assert [unquote_to_bytes(urlsplit(link).path) for link in links] == paths
    assert all(urlsplit(link)[3:] == ("", "") and link.startswith("file:///") for link in links)


def test_nothing_else_runs_in_the_page(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.body.append(make('script', { textContent: 'window.ran = 1' }))")
    browser.run("document.body.append(make('img', { src: 'http://localhost/x.png' }))")
    assert browser.run("return window.ran") is None
    assert len([entry for entry in browser.driver.get_log("browser") if "Content Security" in entry["message"]]) == 2


def test_a_phone_shows_it(browser: Browser, page: Path) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.open(page)
    for view in ("gallery", "list", "confusion", "unreadable"):
        browser.run(f"show('{view}')")
        assert browser.run("return document.documentElement.scrollWidth") == 390
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_50_000_photos(browser: Browser, tmp_path: Path) -> None:
    names = [f"photos/{number // 1000}/IMG_{number:05}.jpg" for number in range(50_000)]
    rows = [row(name, LABELS[number % 3], number / 50_000) for number, name in enumerate(names)]
    page = write(tmp_path / "report.html", rows)
    assert page.stat().st_size < 8_000_000
    browser.requests()
    browser.open(page)
    assert browser.requests() <= {"file", "data"}
    assert browser.texts("h1") == ["50,000 photos, classified"]
    assert browser.texts("#status")[0].startswith("50,000 photos, 1,500 of them with a picture:")
    browser.click("#view-list")
    assert len(browser.texts("tbody tr")) == 100
    assert browser.texts("tbody tr:first-child a") == ["IMG_00000.jpg"]
    browser.click("#next")
    assert browser.texts("#page") == ["101 to 200 of 50,000"]
    assert browser.texts("tbody tr:first-child a") == ["IMG_00100.jpg"]
    browser.type("#search", "img_49999")
    assert browser.texts("tbody a") == ["IMG_49999.jpg"]
    assert not browser.driver.find_element("id", "pages").is_displayed()


def data_of(page: Path) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', page.read_text())
    return json.loads(text)


def test_of_more_photos_a_sample_is_listed_and_all_are_counted(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LISTED", 400)
    monkeypatch.setattr(report, "PICTURED", 40)
    rows = []
    for number in range(10_000):
        label = "dog" if number % 100 == 7 else "cat"
        rows.append(row(f"{number}.jpg", label, (number * 7919 % 10_000) / 10_000, "torn" if number % 10 == 3 else ""))
    data = data_of(write(tmp_path / "report.html", rows))
    assert (len(data["rows"]), len(data["errors"])) == (250, 150)
    assert (data["photos"], data["unreadable"]) == (10_000, 1_000)
    shown = {name for _, name, *_ in data["rows"]}
    readable = sorted((each for each in rows if not each.error), key=lambda each: each.confidence)
    assert shown > {each.path for each in readable if each.label == "dog"}
    assert shown > {each.path for each in [each for each in readable if each.label == "cat"][:75]}
    assert [name for _, name, *_ in data["rows"]] == sorted(shown, key=lambda name: int(name[:-4]))
    # The other cats are from everywhere.
    others = [each for each in readable if each.label == "cat"][75:]
    assert 20 < sum(each.path in shown for each in others[: len(others) // 2]) < 55
    assert sum(len(each) > 5 for each in data["rows"]) == 40
    browser.open(tmp_path / "report.html")
    assert browser.texts("#classes button") == ["cat\n8,900", "dog\n100"]
    browser.click("#view-list")
    assert browser.texts("#status") == [
        "250 photos. Of all 9,000, 250 are in this page: each class's least certain and a random sample."
    ]
    browser.click("#view-unreadable")
    assert browser.texts("#status") == ["150 photos could not be read. 150 of all 1,000 are listed here."]


def test_numbers_that_are_no_probabilities(browser: Browser, tmp_path: Path) -> None:
    rows = [row(f"{value}.jpg", "cat", value) for value in (float("nan"), 7.5, -2.0, 1.0)]
    browser.open(write(tmp_path / "report.html", rows))
    assert browser.texts(".verdict span") == ["0 %", "0 %", "100 %", "100 %"]


def test_nothing_readable(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path / "report.html", [row("cat/a.jpg", error="torn")]))
    assert browser.texts("h1, #status") == ["1 photo, classified", "0 photos."]
    browser.click("#view-unreadable")
    assert browser.texts("tbody td") == ["cat/a.jpg", "torn"]


def test_places_where_no_page_can_be_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    for name, reason in {
        "report.pdf": "ends in .html",
        "folder.html": "not a file",
        "missing/report.html": "missing: nothing can be written there",
    }.items():
        with pytest.raises(UsageError, match=reason):
            report_at(tmp_path / name)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(tmp_path / "report.html", [row(CAT)])
    before = page.read_bytes()

    def full(path: Path, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space") as refusal:
        write(page, [row(CAT), row(CAT)])
    assert refusal.value.filename == str(page)
    assert list(tmp_path.iterdir()) == [page]
    assert page.read_bytes() == before


def test_classify_writes_a_report(
    browser: Browser, run: Path, tmp_path: Path, cifar_edge: Callable[..., Outcome]
) -> None:
    page = tmp_path / "report.html"
    outcome = cifar_edge("classify", PHOTOS, "--model", run / "cnn-int8.tflite", "--report", page)
    assert outcome.code == 0
    assert str(page) in outcome.err
    browser.open(page)
    assert browser.texts("h1") == ["27 photos, classified"]
    assert "cnn-int8.tflite, int8" in browser.texts("#facts dd")
    assert browser.run("return document.images.length") == 27


def test_a_report_that_cannot_be_written_leaves_the_results(
    run: Path, tmp_path: Path, cifar_edge: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(template: str, data: object) -> str:
        raise OSError(28, "No space left on device")

    files = ("--output", tmp_path / "results.csv", "--report", tmp_path / "report.html")
    arguments = ("classify", PHOTOS, "--model", run / "cnn-int8.tflite", *files)
    with monkeypatch.context() as patch:
        patch.setattr(report, "_fill", full)
        outcome = cifar_edge(*arguments)
    assert outcome.code == 1
    assert f"error: {tmp_path}/report.html: No space left on device; put that right and go on with" in outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "results.csv.partial"}
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 28
    assert cifar_edge(*arguments, "--resume").code == 0  # the report is all that it makes
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "report.html"}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_has_taken_a_photo_s_place_is_not_shown(change: Callable[[Path], None], tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(2)]
    for photo in photos:
        shutil.copy(PHOTOS / "cat" / "chelsea.jpg", photo)
    rows = [replace(row(photo), file=look(str(photo))) for photo in photos]
    change(photos[1])
    first, second = data_of(write(tmp_path / "report.html", rows))["rows"]
    assert (bool(first[5]), second[5]) == (True, "")
