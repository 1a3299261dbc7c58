"""A monitor judges without the drawing where that is worth nothing sure, and keeps G for who wants to look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthcp.config.scales import Scale
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.fitting import stages
from synthcp.fitting.config import FitConfig
from synthcp.fitting.gain import Gain
from synthcp.fitting.run import fit
from synthcp.metrics.bootstrap import Interval
from synthcp.monitor.monitor import Monitor
from synthcp.rivals.catalogue import load_detectors
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score

STREETS = Scenes(ScenesConfig(count=8, height=32, width=48))


def worth(low: float) -> Gain:
    return Gain(0.5, 0.49, Interval(0.01, low, 0.03, defined=100), images=40)


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smallest_scale: Scale) -> Any:
    """Fit a monitor whose drawing is worth so much at least."""

    def fitted(low: float, **options: Any) -> Monitor:
        monkeypatch.setattr(stages, "gain_of", lambda *_: worth(low))
        config = FitConfig(scale=smallest_scale, device="cpu", precision="fp32", **options)
        return fit(STREETS, tmp_path / "run", config)

    return fitted


def test_a_drawing_that_is_worth_something_sure_or_was_asked_for_stays_in_use(fitted: Any) -> None:
    assert fitted(0.005).settings.compares


def test_a_drawing_that_was_asked_for_stays_in_use_and_its_cost_is_told(fitted: Any, caplog: Any) -> None:
    assert fitted(-0.01, generator="spade").settings.compares
    assert "worth nothing sure: AP-Error 50.0 with, 49.0 without" in caplog.text


def test_else_the_monitor_judges_without_it(fitted: Any, tmp_path: Path, images: Path, caplog: Any) -> None:
    monitor = fitted(0.0)
    assert "the monitor judges without it, unless you fit it with --generator spade" in caplog.text
    assert monitor.settings.learnt.direct and not monitor.settings.compares
    assert monitor.settings.facts["drawing"].startswith("AP-Error 50.0 with, 49.0 without, on 40 images")
    loaded, image = Monitor.load(tmp_path / "run", "cpu"), STREETS[0].image
    assessment, prediction = loaded.assess(image), loaded.predict(image[None])
    assert assessment.synthesis is None and assessment.error_map.equal(monitor.assess(image).error_map)
    assert assessment.anomaly_map is not None and assessment.anomaly_map.std() > 0

    rows = load_detectors(tmp_path / "run", loaded, ["direct", "drawn", "synthcp"])
    judged = {name: rows[name](image[None], prediction) for name in rows}
    assert judged["synthcp"].error_map.equal(judged["direct"].error_map)  # type: ignore[union-attr]
    assert not judged["synthcp"].error_map.equal(judged["drawn"].error_map)  # type: ignore[union-attr]
    assert loaded.draw(image[None], prediction).equal(judged["drawn"].synthesis)  # type: ignore[union-attr]
    names = [result.name for result in evaluate(loaded, STREETS, tmp_path / "eval").detectors]
    assert {"synthcp", "drawn", "untrained"} <= set(names) and "direct" not in names

    for draw in (False, True):
        score(loaded, images, tmp_path / f"{draw}", draw=draw)
        shown = [path.name for path in (tmp_path / f"{draw}" / "maps").glob("*_synthesis.png")]
        assert bool(shown) == draw
