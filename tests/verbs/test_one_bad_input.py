"""Whatever one input makes a part of a monitor raise, it costs a row, and no other one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.subset import Subset
from synthcp.errors import DataError
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.settings import load_settings
from synthcp.report.rows import read_rows
from synthcp.segmentation.base import Segmenter
from synthcp.system.output_folder import listed, output_folder
from synthcp.verbs.audit.run import audit
from synthcp.verbs.calibrate import calibrate
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

ERRORS = [
    MemoryError(),
    RuntimeError("out of\nmemory"),
    OverflowError("too large"),
    OSError(errno.ENAMETOOLONG, "File name too long"),
    SystemExit("a model that ends the program"),
    DataError("this is no image; give one"),
]
BAD = 1
"""Which image of a data set, or of a folder, fails."""
EASY = Promise(alpha=0.3, delta=0.2, floor=0.05, area=0.1)


EVERY = [("segmenter", error) for error in ERRORS] + [("generator", ERRORS[1]), ("network", ERRORS[0])]
SOME = [("segmenter", ERRORS[4]), ("segmenter", ERRORS[5]), ("generator", ERRORS[1]), ("network", ERRORS[0])]
"""Which part fails, and how."""


def of(cases):
    ids = [f"{part}-{type(error).__name__}" for part, error in cases]
    return pytest.mark.parametrize(("part", "error"), cases, ids=ids)


@pytest.fixture
def broken(part, error, run_folder, monkeypatch):
    """A monitor one of whose parts fails at the second image of those that are judged."""
    monitor, calls = Monitor.load(run_folder, "cpu"), []
    module, method = getattr(monitor, part), {"segmenter": "predict", "generator": "draw", "network": "judged"}[part]
    called = getattr(module, method)

    def fail(*arguments, **others):
        calls.extend([1] * (arguments[0] != "" if part == "segmenter" else 1))  # M sees a synthesis without a name
        if len(calls) == BAD + 1:
            calls.append(1)
            raise error
        return called(*arguments, **others)

    monkeypatch.setattr(module, method, fail)
    return monitor


def check_log(folder: Path, error: BaseException) -> None:
    log = folder / "errors.log"
    if isinstance(error, DataError):
        assert not log.exists()
    else:
        text = log.read_text()
        assert "Traceback" in text and "raise error" in text and type(error).__name__ in text


@of(EVERY)
def test_score(broken, monitor, error, images, tmp_path):
    rows = score(broken, images, tmp_path / "out", budget=2)
    assert [row.status for row in rows] == ["ok", "error", "ok", "ok", "ok"]
    named = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}".removesuffix(": ")
    assert rows[BAD].message == " ".join(named.split())
    good = score(monitor, images, tmp_path / "good", budget=2)
    assert [row.error_share for row in rows if row.status == "ok"] == [
        row.error_share for number, row in enumerate(good) if number != BAD
    ]
    for path in (tmp_path / "out" / "maps").iterdir():
        assert path.read_bytes() == (tmp_path / "good" / "maps" / path.name).read_bytes()
        assert not path.name.startswith(rows[BAD].id)
    assert rows[BAD].message.split()[0] in (tmp_path / "out" / "report.html").read_text()
    check_log(tmp_path / "out", error)


@of(SOME)
def test_eval(broken, monitor, error, scenes, tmp_path):
    results = evaluate(broken, scenes, tmp_path / "out", detectors=["synthcp"])
    assert [row.status for row in read_rows(tmp_path / "out")] == ["ok", "error", "ok", "ok", "ok"]
    assert results.images == 4 and results.settings["failed"].startswith(f"1 of 5; the first, {scenes.ids[BAD]}: ")
    others = Subset(scenes, [0, 2, 3, 4])
    good = evaluate(monitor, others, tmp_path / "good", detectors=["synthcp"])
    assert results.detectors == good.detectors and results.segmenter_quality == pytest.approx(
        good.segmenter_quality, nan_ok=True
    )
    check_log(tmp_path / "out", error)


@of(SOME)
def test_calibrate(broken, run_folder, error, tmp_path):
    run = shutil.copytree(run_folder, tmp_path / "run")
    broken.folder = run
    data = Scenes(ScenesConfig(count=14, height=48, width=64, split="val"))
    made = calibrate(broken, data, promise=EASY)
    assert made.images == 13 and made.failed.startswith(f"1 of 14; the first, {data.ids[BAD]}: ")
    plain = calibrate(
        Monitor.load(shutil.copytree(run_folder, tmp_path / "plain")), Subset(data, [0, *range(2, 14)]), promise=EASY
    )
    assert replace(made, failed="", created="") == replace(plain, created="")
    assert load_settings(run).calibration == made
    check_log(run, error)


@of(SOME[:1])
def test_the_log_of_a_calibration_is_of_the_run_that_wrote_the_monitor(broken, run_folder, error, tmp_path):
    run = tmp_path / "run"
    with output_folder(run) as work:  # as a demo does
        shutil.copytree(run_folder, work.new, dirs_exist_ok=True)
    broken.folder = run
    calibrate(broken, Scenes(ScenesConfig(count=14, height=48, width=64, split="val")), promise=EASY)
    assert "errors.log" in listed(run)
    with output_folder(run) as work:
        (work.new / "another").touch()
    assert listed(run) == {"another"}


@of(SOME[:3])
def test_audit(broken, error, tmp_path):
    scenes = Scenes(ScenesConfig(count=4, height=48, width=64))
    suspects = audit(broken, scenes, tmp_path / "out", most=10)
    assert suspects and json.loads((tmp_path / "out" / "audit.json").read_text())["failed"].startswith("1 of 4; ")
    check_log(tmp_path / "out", error)


@pytest.mark.parametrize("verb", ["score", "eval", "calibrate", "audit"])
def test_the_exit_code_is_3_and_the_line_says_why(synthcp, run_folder, images, tmp_path, monkeypatch, verb):
    run, calls = shutil.copytree(run_folder, tmp_path / "run"), []
    found = Segmenter.predict

    def fail(self, sample_id, image):
        calls.append(sample_id)
        if sample_id == calls[0]:
            raise RuntimeError("out of\nmemory")
        return found(self, sample_id, image)

    monkeypatch.setattr(Segmenter, "predict", fail)
    data = ["--data", "scenes:?count=13&size=48x64"]
    given = {"score": [images], "calibrate": [*data, *"--alpha 0.3 --delta 0.2 --floor 0.05 --area 0.1".split()]}
    out = [] if verb == "calibrate" else ["--out", tmp_path / "out"]
    ended = synthcp(verb, *given.get(verb, data), "--monitor", run, *out, "--device", "cpu", "--quiet")
    assert (ended.code, len(ended.stderr)) == (3, 1), ended.stderr
    assert "RuntimeError: out of memory" in ended.stderr[0] and "1 of " in ended.stderr[0]


@pytest.mark.parametrize("length", [233, 251])
def test_a_long_name_is_scored_or_told_of(monitor, images, tmp_path, length):
    folder = shutil.copytree(images, tmp_path / "images")
    name = "n" * (length - 4) + ".png"
    shutil.copy(images / "test-0000.png", folder / name)
    rows = {row.id: row for row in score(monitor, folder, tmp_path / "out")}
    row = rows.pop(name.removesuffix(".png"))
    assert {other.status for other in rows.values()} == {"ok"} and len(rows) == 5
    if length == 233:
        assert row.status == "ok" and (tmp_path / "out" / "maps" / f"{row.id}_error_16bit.png").is_file()
    else:
        assert row.status == "error" and "File name too long" in row.message
    assert not [path for path in (tmp_path / "out" / "maps").iterdir() if row.status == "error" and path.name[0] == "n"]


def test_an_image_that_cannot_be_read_costs_an_evaluation_nothing_else(monitor, tmp_path):
    class Torn(Scenes):
        def __getitem__(self, index):
            if index == 0:
                raise DataError("first.png is truncated; write it again")
            return super().__getitem__(index)

    torn = Torn(ScenesConfig(count=3, height=48, width=64, split="test"))
    results = evaluate(monitor, torn, tmp_path / "out", detectors=["msp"])
    assert results.images == 2 and "first.png is truncated" in results.settings["failed"]
    assert [row.status for row in read_rows(tmp_path / "out")] == ["error", "ok", "ok"]
    assert "first.png is truncated" in (tmp_path / "out" / "report.html").read_text()


def test_a_mask_that_does_not_fit_costs_its_image(monitor, tmp_path):
    class Misfit(Scenes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return replace(sample, anomaly_mask=sample.anomaly_mask[index == 1 :])

    misfit = Misfit(ScenesConfig(count=3, height=48, width=64, split="test"))
    results = evaluate(monitor, misfit, tmp_path / "out", detectors=["msp"])
    told = "test-0001: the anomaly mask is (47, 64), its image (48, 64)"
    assert results.images == 2 and told in results.settings["failed"]
    assert [row.status for row in read_rows(tmp_path / "out")] == ["ok", "error", "ok"]


def test_an_all_bad_run_is_whole_in_the_place_of_the_old_one(monitor, images, bad, tmp_path, fails, monkeypatch):
    out = tmp_path / "out"
    score(monitor, images, out)
    with fails("bad.png is not an image", error=DataError):
        score(monitor, bad, out)
    assert [(row.id, row.status) for row in read_rows(out)] == [("bad", "error")]
    report = (out / "report.html").read_text()
    assert "bad.png is not an image" in report and "test-0000" not in report and not (out / "maps").exists()
    scenes = Scenes(ScenesConfig(count=2, height=48, width=64, split="test"))
    monkeypatch.setattr(type(monitor.segmenter), "predict", lambda *arguments: 1 / 0)
    with fails("ZeroDivisionError: division by zero (and none of the 1 others could be judged)", error=DataError):
        evaluate(monitor, scenes, out)
    assert [row.status for row in read_rows(out)] == ["error", "error"] and not (out / "metrics.json").exists()
    assert "ZeroDivisionError" in (out / "errors.log").read_text()


def test_a_full_disk_stops_the_run_in_one_line_and_it_goes_on(synthcp, run_folder, images, tmp_path, monkeypatch):
    saved = []

    def full_at_12(write):
        def full(self, *others, **options):
            path = self if isinstance(self, Path) else others[0]
            saved.append(path)
            if len(saved) > 11 and path is saved[11]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(self, *others, **options)

        return full

    command = ["score", images, "--monitor", run_folder, "--out", tmp_path / "out", "--device", "cpu", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full_at_12(Image.Image.save))  # of JPEG files
        patch.setattr(Path, "write_bytes", full_at_12(Path.write_bytes))  # of PNG files
        ended = synthcp(*command)
    assert (ended.code, len(ended.stderr)) == (2, 1)
    assert str(saved[11]) in ended.stderr[0] and "No space left on device" in ended.stderr[0]
    assert "make room" in ended.stderr[0] and "--resume" in ended.stderr[0] and not (tmp_path / "out").exists()
    assert synthcp(*command, "--resume").code == 0 and len(read_rows(tmp_path / "out")) == 5
    assert not (tmp_path / ".out.partial").exists()
