"""The output folder of an audit."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from synthcp.errors import DataError
from synthcp.verbs.audit import run
from synthcp.verbs.audit.outputs import window_of
from synthcp.verbs.audit.run import audit


@pytest.fixture(scope="module")
def audited(run_folder, mislabelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit") / "out"
    stages = []
    suspects = audit(
        run_folder, mislabelled, out, most=6, facts={"data": "<b>streets"}, progress=lambda *call: stages.append(call)
    )
    pictured = len({suspect.id for suspect in suspects})
    counts = {"learn from drawn mistakes": 4, "audit": 4, "pictures": pictured}
    assert stages == [(stage, n, count, {}) for stage, count in counts.items() for n in range(1, count + 1)]
    return out, suspects


@pytest.fixture(scope="module")
def page(audited):
    return (audited[0] / "audit.html").read_text()


def test_the_table_holds_the_suspects_in_order(audited):
    out, suspects = audited
    with open(out / "suspects.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["rank", "id", "score", "given", "suggested", "area", "x0", "y0", "x1", "y1"]
    assert [line["rank"] for line in lines] == list("123456")
    for line, suspect in zip(lines, suspects, strict=True):
        assert (line["id"], line["given"], line["suggested"]) == (suspect.id, suspect.given, suspect.suggested)
        assert tuple(int(line[edge]) for edge in ("x0", "y0", "x1", "y1")) == suspect.box
        assert int(line["area"]) == suspect.area and float(line["score"]) == pytest.approx(suspect.score, rel=1e-5)


def test_the_page_shows_each_suspect_in_five_pictures_that_lie_beside_it(audited, page):
    out, suspects = audited
    sources = re.findall(r'<img src="([^"]*)"', page)
    assert len(sources) == 5 * len(suspects) and all((out / source).is_file() for source in sources)
    assert not re.search("https?:|@import", page)
    heads = re.findall(r'class="rank">(\d+)</span>([^<]+) → ([^<]+)\?', page)
    assert heads == [(str(rank), s.given, s.suggested) for rank, s in enumerate(suspects, start=1)]


def test_the_box_is_marked_on_every_picture(audited, page):
    for source in re.findall(r'<img src="([^"]*)"', page)[:5]:
        with Image.open(audited[0] / source) as picture:
            assert picture.width == 240
            red, green, blue = np.asarray(picture.convert("RGB"), dtype=int).transpose(2, 0, 1)
            assert ((red > 150) & (green < 120) & (blue > 90)).sum() > 60


def test_names_are_text_and_what_was_seen_is_told(audited, page):
    facts = json.loads((audited[0] / "audit.json").read_text())
    assert facts["data"] == "<b>streets" and facts["images that the fit saw"] == "4 of 4"
    assert "&lt;b&gt;streets" in page and "<b>" not in page
    assert {"monitor", "command", "commit", "hardware", "versions"} < set(facts)


def test_a_suspect_that_cannot_be_shown_leaves_the_rank_of_the_others(
    run_folder, mislabelled, audited, tmp_path, monkeypatch
):
    out, suspects = tmp_path / "out", audited[1]
    draw = run.exhibit

    def fail(place, rank, suspect, *others):
        if suspect.id == suspects[0].id:
            raise RuntimeError("out of memory")
        return draw(place, rank, suspect, *others)

    monkeypatch.setattr(run, "exhibit", fail)
    found = audit(run_folder, mislabelled, out, most=6)
    assert [(suspect.id, suspect.box) for suspect in found] == [(suspect.id, suspect.box) for suspect in suspects]
    shown = [rank for rank, suspect in enumerate(suspects, start=1) if suspect.id != suspects[0].id]
    page = (out / "audit.html").read_text()
    assert re.findall(r'class="rank">(\d+)<', page) == [str(rank) for rank in shown] and shown[0] > 1
    for rank in shown:
        assert f"audit_files/{rank}-0.png" in page.partition(f'class="rank">{rank}<')[2].partition("</article>")[0]
    assert f"{6 - len(shown)} more, with their ranks, are in" in page
    monkeypatch.setattr(run, "exhibit", lambda *others: 1 / 0)
    with pytest.raises(DataError, match="ZeroDivisionError"):
        audit(run_folder, mislabelled, out, most=6)
    assert "disputes no label" not in (out / "audit.html").read_text()


def test_nothing_half_written_is_left(audited):
    names = ["audit.html", "audit.json", "audit_files", "files.json", "suspects.csv"]
    assert sorted(path.name for path in audited[0].iterdir()) == names
    assert not list(audited[0].rglob(".*"))


@pytest.mark.parametrize(
    ("box", "size", "window"),
    [
        ((200, 100, 240, 120), (360, 480), (172, 62, 268, 158)),  # the smallest window, around the middle
        ((0, 0, 10, 10), (360, 480), (0, 0, 96, 96)),  # moved into the image
        ((470, 350, 480, 360), (360, 480), (384, 264, 480, 360)),
        ((100, 100, 200, 150), (360, 480), (40, 15, 260, 235)),  # 1.2 times the longer side of context
        ((0, 10, 300, 40), (60, 480), (0, 0, 480, 60)),  # never beyond the image
    ],
)
def test_the_window_holds_the_box_and_lies_in_the_image(box, size, window):
    assert window_of(box, size) == window
