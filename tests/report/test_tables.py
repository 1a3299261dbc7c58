import io
import json
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from synthcp.errors import InputError
from synthcp.evaluation.results import DetectorResult, Results, Row
from synthcp.metrics.components import ComponentScores
from synthcp.metrics.protocols import AnomalyScores
from synthcp.metrics.ranking import RankingScores
from synthcp.metrics.regression import RegressionScores
from synthcp.report.metric_tables import headline, percent
from synthcp.report.tables import from_json, summary, to_json, to_markdown, to_rich


def ranking(first: float, skipped: int = 0) -> RankingScores:
    return RankingScores(
        auroc=first + 0.01,
        ap_error=first + 0.02,
        ap_success=first + 0.03,
        fpr95=first + 0.04,
        prevalence=first + 0.05,
        pixels=1000,
        images=5,
        skipped=skipped,
    )


def anomaly(first: float, skipped: int = 0) -> AnomalyScores:
    return AnomalyScores(
        auroc=first + 0.01,
        aupr=first + 0.02,
        fpr95=first + 0.03,
        prevalence=first + 0.04,
        void_share=first + 0.05,
        pixels=1000,
        images=5,
        skipped=skipped,
    )


OBJECTS = ComponentScores(0.21, math.nan, 0.23, 0.5, 2, 0, (0.4, math.nan), (1, 1), (1, 1), (0, 0))
WITH_OBJECTS = replace(anomaly(0.5), components=OBJECTS)
QUALITY = RegressionScores(0.611, 0.622, 0.633, 0.644, math.nan, classes=11, correlated_classes=9)
MSP = DetectorResult(Row("MSP | raw"), ranking(0.1), ranking(0.2, skipped=3))
FOUND = {"caos": anomaly(0.6)}
OURS = DetectorResult(Row("ours"), ranking(0.3), ranking(0.4), QUALITY)
RESULTS = Results((MSP, OURS), 0.618, {"road": 0.9, "sky": math.nan}, 5, {"road": [(0.5, 0.25)]}, {"data": "camvid"})


def result_of(row: DetectorResult) -> Results:
    return Results((row,), math.nan, {}, 5)


def test_the_measure_is_named() -> None:
    volumes = replace(RESULTS, measure="Dice")
    assert from_json(to_json(volumes)).measure == "Dice"
    for text in (to_markdown(volumes), *map(printed, [*to_rich(volumes), summary(volumes)])):
        assert "IoU" not in text
    assert "| MAE, Dice |" in to_markdown(volumes) and "mean Dice of M 61.8" in to_markdown(volumes)


def printed(table: Table) -> str:
    text = io.StringIO()
    Console(file=text, width=200, force_terminal=True, color_system="standard").print(table)
    return text.getvalue()


def bold(line: str) -> list[str]:
    return re.findall(r"\x1b\[1m *([\d.]+)", line)


def markdown_rows(text: str) -> list[list[str]]:
    return [line.strip("|").replace(r"\|", "/").split("|") for line in text.splitlines() if line.startswith("|")]


def test_every_value_is_in_its_column() -> None:
    header, _, msp, ours = ([cell.strip() for cell in row] for row in markdown_rows(to_markdown(RESULTS))[:4])
    assert dict(zip(header, msp, strict=True)) == {
        "Detector": "MSP / raw",
        "AP-Error, pooled": "12.0",
        "AP-Success, pooled": "13.0",
        "AUROC, pooled": "11.0",
        "FPR95, pooled": "**14.0**",
        "AP-Error, per image": "22.0",
        "AP-Success, per image": "23.0",
        "AUROC, per image": "21.0",
        "FPR95, per image": "**24.0**",
        **dict.fromkeys(("MAE, IoU", "STD, IoU", "STD signed, IoU", "Pearson, IoU", "Spearman, IoU"), "-"),
    }
    assert ours[1:5] == ["**32.0**", "**33.0**", "**31.0**", "34.0"]
    assert ours[9:] == ["61.1", "62.2", "63.3", "64.4", "-"]


def test_the_note_says_the_controls() -> None:
    note = to_markdown(RESULTS).splitlines()[2]
    for fact in ("5 images", "mIoU of M 61.8", "15.0 pooled, 25.0 per image", "skipped per image: 3"):
        assert fact in note
    assert "11 classes in MAE and STD, 9 in the correlations" in note


def test_anomaly_table_only_with_anomalies() -> None:
    assert "Anomaly" not in to_markdown(RESULTS)
    found = DetectorResult(Row("ours"), anomaly={"pooled": anomaly(0.5), "caos": anomaly(0.7, skipped=2)})
    table = to_markdown(result_of(found))
    assert "Error detection" not in table
    note = table.splitlines()[2]
    assert "pooled: prevalence (chance AUPR) 54.0, void 55.0, 5 images; caos" in note and "2 skipped" in note
    header, _, values = ([cell.strip() for cell in row] for row in markdown_rows(table))
    assert header[1:3] == ["AUROC, pooled", "AUPR, pooled"]
    assert values == ["ours", "51.0", "52.0", "53.0", "71.0", "72.0", "73.0"]


def test_objects_are_in_the_table_of_a_protocol_that_has_them() -> None:
    found = DetectorResult(Row("ours"), anomaly={"caos": anomaly(0.7), "smiyc": WITH_OBJECTS})
    header, _, values = ([cell.strip() for cell in row] for row in markdown_rows(to_markdown(result_of(found))))
    assert header[4:] == [f"{name}, smiyc" for name in ("AUROC", "AUPR", "FPR95", "sIoU", "PPV", "F1*")]
    assert values[4:] == ["51.0", "52.0", "53.0", "21.0", "-", "23.0"]


def test_rich_tables_hold_the_same_values() -> None:
    pooled, per_image, quality, settings = map(printed, to_rich(RESULTS))
    assert "34.0" in pooled and "34.0" not in per_image
    assert "44.0" in per_image and "61.1" in quality
    assert "camvid" in settings


def test_the_summary_has_the_best_values_bold() -> None:
    lines = printed(summary(RESULTS)).splitlines()
    msp = next(line for line in lines if "MSP" in line)
    ours = next(line for line in lines if "ours" in line)
    assert bold(msp) == ["14.0"]  # FPR95: smaller is better
    assert bold(ours) == ["32.0", "31.0"]
    assert "61.1" in ours and "64.4" in ours and "62.2" not in ours


def test_equal_values_have_no_best() -> None:
    assert "**" not in to_markdown(Results((OURS, OURS), 0.5, {}, 5))


def test_names_are_no_markup() -> None:
    strange = DetectorResult(Row("[bold]x[/bold]"), ranking(0.1))
    assert "[bold]x[/bold]" in printed(summary(Results((strange,), 0.5, {}, 5)))


def test_json_round_trip_with_nan() -> None:
    results = replace(RESULTS, detectors=(MSP, replace(OURS, anomaly=FOUND)))
    text = to_json(results)
    assert repr(from_json(text)) == repr(results)
    with_objects = result_of(replace(OURS, anomaly={"smiyc": WITH_OBJECTS}))
    assert repr(from_json(to_json(with_objects))) == repr(with_objects)
    record = json.loads(text)
    assert record["segmenter_quality"]["sky"] is None and record["detectors"][1]["quality"]["spearman"] is None
    assert "NaN" not in text


@pytest.mark.parametrize("text", ["", "[]", '{"detectors": [{}]}'])
def test_broken_json_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match=r"metrics\.json"):
        from_json(text)


def test_the_headline_is_the_last_detector_of_errors() -> None:
    no_errors = DetectorResult(Row("anomalies"), anomaly={"pooled": anomaly(0.5)})
    assert headline(Results((MSP, OURS, no_errors), 0.5, {}, 5)) is OURS
    assert headline(Results((no_errors,), 0.5, {}, 5)) is None


def test_percent() -> None:
    assert [percent(0.0816), percent(1.0), percent(-0.25), percent(math.nan)] == ["8.2", "100.0", "-25.0", "-"]


def test_the_mean_says_over_which_classes_it_is() -> None:
    several = replace(RESULTS, segmenter_quality={"road": 0.618, "sky": math.nan, "car": math.nan})
    assert "mIoU of M 61.8 over 1 of 3 classes, no pixel of sky, car;" in to_markdown(several)
    assert "mIoU of M 61.8;" in to_markdown(replace(RESULTS, segmenter_quality={"road": 0.9, "sky": 0.336}))
