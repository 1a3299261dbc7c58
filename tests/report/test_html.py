import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from synthcp.errors import DataError, InputError
from synthcp.evaluation.results import DetectorResult, Results, Row
from synthcp.metrics.ranking import RankingScores
from synthcp.report.annotate import write_choice
from synthcp.report.html import CARDS, write_report
from synthcp.report.outputs import map_path
from synthcp.report.pictures import read_picture
from synthcp.report.rows import read_rows
from synthcp.report.tables import to_json
from synthcp.system.files import save_text

Write = Callable[..., Path]
Attributes = dict[str, str | None]
VOID = {"meta", "img", "input"}
KINDS = ("image.jpg", "error.png")
MAPS = ("image.jpg", "prediction.png", "synthesis.png", "error.png", "anomaly.png", "truth.png")


class Page(HTMLParser):
    """All elements of a page, the texts by tag, and whether every element is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, Attributes]] = []
        self.texts: dict[str, list[str]] = {}
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag: str) -> list[Attributes]:
        return [attributes for name, attributes in self.elements if name == tag]

    def cards(self) -> list[Attributes]:
        return self.all("article")

    def views(self) -> list[str | None]:
        return [attributes["data-view"] for attributes in self.pictures()]

    def pictures(self) -> list[Attributes]:
        return [attributes for attributes in self.all("img") if "data-view" in attributes]


def links_of(page: Page) -> list[str]:
    """Everything that the page names, as a browser resolves it, but places in the page itself."""
    named = [attributes.get(name) for _, attributes in page.elements for name in ("src", "href", "data-src")]
    return [unquote(link) for link in named if link and not link.startswith("#")]


def test_the_page_is_whole_and_needs_no_file_but_those_beside_it(write_folder: Write) -> None:
    out = write_folder({"city/a b#1?é": 0.2, "b": 0.7, "c": 0.6})
    page = Page(write_report(out, limit=2))
    assert page.open == []
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    links = links_of(page)
    assert len(links) == 2 * 8 + 2 and all((out / link).is_file() for link in links)
    assert not any(Path(link).is_absolute() or ".." in Path(link).parts for link in links)
    assert all("xlink:href" not in part or part["xlink:href"].startswith("#") for _, part in page.elements)
    assert "url(http" not in page.source and "@import" not in page.source
    (policy,) = (part["content"] for part in page.all("meta") if "http-equiv" in part)
    assert "default-src 'none'; img-src 'self' file: data:;" in policy


def test_worst_first(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"mild": 0.2, "worst": 0.7, "middle": 0.4})))
    assert [text for text in page.texts["h3"] if text in ("mild", "worst", "middle")] == ["worst", "middle", "mild"]


def test_the_limit_says_what_it_leaves_out(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"mild": 0.2, "worst": 0.7, "middle": 0.4}), limit=1))
    assert len(page.cards()) == 1
    assert "2 more, worst first" in page.texts["summary"]
    assert [text.split()[-1] for text in page.texts["li"] if "%" in text] == ["middle", "mild"]
    links = [unquote(part["href"] or "") for part in page.all("a")]
    assert links == ["#others", *(f"maps/{name}_{kind}" for name in ("middle", "mild") for kind in KINDS)]


def test_a_report_of_two_thousand_images_stays_small(write_folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write_folder({"a": 0.2})
    row = read_rows(out)[0]
    rows = [replace(row, id=f"camera-7/2026-01-01/frame_{number:06d}") for number in range(2000)]
    monkeypatch.setattr("synthcp.report.html.read_rows", lambda folder: rows)
    write_choice(out, rows[500:])  # a budget lifts no limit
    page = write_report(out)
    assert page.stat().st_size < 3_000_000
    assert len(Page(page).cards()) == CARDS
    assert len(Page(page).all("a")) == 1 + 2 * (2000 - CARDS)
    monkeypatch.setattr("synthcp.report.html.LINES", 50)
    page = Page(write_report(out))
    assert f"{2000 - CARDS - 50} more are in" in page.texts["p"]
    assert [part["href"] for part in page.all("a")][-2:] == ["results.csv", "maps/"]


def test_the_chosen_come_first_within_the_limit(write_folder: Write) -> None:
    out = write_folder({"mild": 0.2, "worst": 0.7, "middle": 0.4})
    write_choice(out, [row for name in ("worst", "mild") for row in read_rows(out) if row.id == name])
    page = Page(write_report(out, limit=2))
    assert [text for text in page.texts["h3"] if text in ("mild", "worst", "middle")] == ["worst", "mild"]
    assert [text for text in page.texts["span"] if "annotate" in text] == ["to annotate: 1", "to annotate: 2"]
    assert len(page.cards()) == 2
    assert any("those to annotate first, then those with the highest" in text for text in page.texts["p"])
    page = Page(write_report(out, limit=1))
    assert len(page.cards()) == 1 and "to annotate: 2" in page.texts["b"]


def test_verdict_and_failures(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"a": 0.2, "b": 0.7})))
    assert "1 of 2 images raises an alarm; 1 could not be scored." in page.texts["p"]
    assert "not a <picture>" in page.texts["td"]
    assert "45.0 %" in page.texts["dd"]  # mean expected error
    assert "true error 14.3 %" in page.texts["small"]


def test_names_are_text_and_never_markup(write_folder: Write) -> None:
    strange = "<b>x' onload=\"alert(1)"
    page = Page(write_report(write_folder({strange: 0.7})))
    assert strange in page.texts["h3"] and "<b>look" in page.texts["li"] and "<i>car" in page.texts["li"]
    assert not {"b", "picture"} & {tag for tag, _ in page.elements}
    assert not any("onload" in attributes for _, attributes in page.elements)
    assert page.all("img")[0]["alt"] == f"Image of {strange}"


def test_ground_truth_only_if_known(write_folder: Write) -> None:
    views = ["image", "prediction", "synthesis", "error", "anomaly"]
    page = Page(write_report(write_folder({"a": 0.2}, truth=False)))
    assert page.views() == views
    assert "True IoU" not in page.source and "<svg" not in page.source
    page = Page(write_report(write_folder({"a": 0.2}, truth=True)))
    assert page.views() == [*views, "truth", "true_errors"]
    assert "True IoU" in page.texts["th"] and "<svg" in page.source


def test_only_the_first_view_is_loaded_at_once_and_its_button_pressed(write_folder: Write) -> None:
    out = write_folder({"a": 0.2})
    page = Page(write_report(out))
    pictures, buttons = page.pictures(), page.all("button")
    pressed = [button["data-view"] for button in buttons if button["aria-pressed"] == "true"]
    assert len(buttons) == 7 + 7 and pressed == ["image", "image"]
    assert ["src" in picture for picture in pictures] == [True] + [False] * 6
    assert all(picture["loading"] == "lazy" for picture in page.all("img"))
    names = [str(picture.get("src") or picture.get("data-src")) for picture in pictures]
    assert names == [*(f"maps/a_{kind}" for kind in MAPS), "report_files/a_true_errors.png"]
    assert [read_picture(out / name).size for name in names] == [(4, 2)] * 7


def test_the_card_holds_the_numbers_of_the_slider(write_folder: Write) -> None:
    out = write_folder({"a": 0.3})
    page = Page(write_report(out))
    card, (marked,) = page.cards()[0], [part for part in page.all("img") if part.get("class") == "marked"]
    with Image.open(map_path(out, "a", "error_16bit")) as picture:
        error_map = np.asarray(picture) / 65535
    assert marked["src"] == "maps/a_error_16bit.png" and "hidden" in marked
    flagged = json.loads(card["data-flagged"] or "")
    assert flagged == [pytest.approx((error_map > step / 100).mean()) for step in range(101)]


def test_the_slider_starts_at_the_threshold_of_the_run(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"a": 0.3})))
    slider = next(attributes for attributes in page.all("input") if attributes["type"] == "range")
    assert (slider["value"], slider["max"]) == ("30", "100")
    assert any(label.get("for") == slider["id"] for label in page.all("label"))


def test_the_evaluation_is_shown(write_folder: Write) -> None:
    out = write_folder({"a": 0.2})
    scores = RankingScores(0.91, 0.537, 0.98, 0.3, 0.081, 7, 1, 0)
    save_text(out / "metrics.json", to_json(Results((DetectorResult(Row("<u>ours"), scores),), 0.618, {}, 1)))
    page = Page(write_report(out))
    assert {"61.8 %", "53.7 %"} <= set(page.texts["dd"])
    assert "chance 8.1 %, <u>ours" in page.texts["small"]
    assert "AP-Success" in page.texts["th"] and "98.0" in page.texts["td"]


def test_a_calibrated_monitor_says_what_to_do(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"good": 0.2, "bad": 0.7, "worse": 0.8}, truth=False, calibrated=True)))
    badges = [attributes for attributes in page.all("span") if (attributes.get("class") or "").startswith("badge")]
    assert [badge["class"] for badge in badges] == ["badge review", "badge review", "badge accept"]
    assert [text for text in page.texts["span"] if text in ("accept", "review")] == ["review", "review", "accept"]
    assert page.texts["p"].count("it is a <review>") == 2 and "it is a <accept>" in page.texts["p"]
    assert "2 of 3 images raise an alarm; 2 to review; 1 could not be scored." in page.texts["p"]
    assert "promise, to review" in page.texts["th"] and "images of <low> quality" in page.texts["td"]
    assert "To review" in page.texts["dt"]


def test_intervals_are_drawn_on_the_bars(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"a": 0.2}, truth=False, calibrated=True)))
    road, sky = sorted((0.8, 0.6))
    assert [whisker["style"] for whisker in page.all("s")] == [
        f"--low: {value / 2:.3f}; --high: {(1 + value) / 2:.3f}" for value in (road, sky)
    ]


def test_without_a_calibration_nothing_is_decided(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"a": 0.2, "b": 0.7})))
    assert page.all("s") == [] and "badge" not in {attributes.get("class") for attributes in page.all("span")}
    assert "To review" not in page.texts["dt"]
    assert not any("promise" in text for text in page.texts["th"] + page.texts["p"])


def test_unknown_objects_are_boxed_and_listed_and_can_be_hidden(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"a": 0.2}, truth=False, regions=True)))
    boxes = [tuple(box[name] for name in ("x", "y", "width", "height")) for box in page.all("rect")]
    assert boxes == [("25.00%", "0.00%", "50.00%", "50.00%"), ("50.00%", "0.00%", "50.00%", "100.00%")]  # of (2, 4)
    assert page.texts["text"] == ["1", "2"]
    assert {"25.0 %", "1.75", "<i>car", "37.5 %", "1.62", "sky"} <= set(page.texts["td"])
    assert [part["type"] for part in page.all("input") if part.get("id") == "objects"] == ["checkbox"]
    told = "Connected pixels whose anomaly score is above the threshold of the monitor, 1.5; the error threshold does"
    assert sum((label.get("title") or "").startswith(told) for label in page.all("label")) == 1
    page = Page(write_report(write_folder({"a": 0.2}, truth=False)))
    assert page.all("rect") == [] and "objects" not in {part.get("id") for part in page.all("input")}
    assert "Unknown object" not in page.texts["th"]


def test_trust_needs_ground_truth(write_folder: Write) -> None:
    title = "Which predictions to trust"
    assert title not in Page(write_report(write_folder({"a": 0.2, "b": 0.7}, truth=False))).texts["h2"]
    page = Page(write_report(write_folder({"a": 0.2, "b": 0.7})))
    assert title in page.texts["h2"] and any("AURC 41.7 %" in text for text in page.texts["p"])  # 1 - (3/4 + 1 + 0) / 3
    assert not any("Accepted" in text for text in page.texts["p"])


def test_what_became_of_the_promise_is_told(write_folder: Write) -> None:
    page = Page(write_report(write_folder({"a": 0.2, "b": 0.7}, calibrated=True)))
    told = "Accepted: 1 of 2 images; bad, with a true quality below 0.6: 1 of these (100.0 %)."
    assert told in page.texts["p"]
    page = Page(write_report(write_folder({"b": 0.7}, calibrated=True)))
    assert "Accepted: none of 1 images." in page.texts["p"]


def test_without_images_there_is_still_a_report(write_folder: Write) -> None:
    page = Page(write_report(write_folder({})))
    assert "No alarm in 0 images; 1 could not be scored." in page.texts["p"]
    assert page.cards() == []


def test_maps_may_be_missing(write_folder: Write) -> None:
    out = write_folder({"a": 0.2})
    for path in (out / "maps").iterdir():
        path.unlink()
    page = Page(write_report(out))
    assert page.views() == [] and "road" in page.texts["th"]


def test_broken_inputs_are_named(write_folder: Write) -> None:
    out = write_folder({"a": 0.2})
    map_path(out, "a", "error").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a_error\.png"):
        write_report(out)
    (out / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match=r"metrics\.json"):
        write_report(out)
