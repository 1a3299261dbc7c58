import csv
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthcp.errors import InputError
from synthcp.records import AnomalousRegion, Assessment, Classes
from synthcp.report.annotate import read_choice, write_choice
from synthcp.report.csv_files import TEXT
from synthcp.report.outputs import ResultsWriter, RunSettings
from synthcp.report.rows import ResultRow, cells, columns, read_regions, read_rows, region_cells, region_columns, row_of
from synthcp.system.files import save_text

Write = Callable[..., Path]
Fails = Callable[..., AbstractContextManager[None]]


def test_rows_come_back(tmp_path: Path, settings: RunSettings, regions: tuple[AnomalousRegion, ...]) -> None:
    rows = [
        ResultRow(
            *("city/a, b", 'say "a".png', "ok", ""),
            *(0.125, 0.25, 0.5, math.nan, 0.4375),
            ("first", "second"),
            {"road": 0.75, "sky": 0.0625, "<i>car": 0.375},
            {"road": 0.875, "sky": math.nan, "<i>car": 0.0},
            *("review", ("low quality", "and more")),
            {"road": (0.5, 1.0), "sky": (0.0, 0.25), "<i>car": (0.125, 0.625)},
            regions,
        ),
        ResultRow("clean", "clean.png", error_share=0.25, regions=()),
        ResultRow("bad", "bad.png", "error", "two\nlines"),
    ]
    with ResultsWriter(tmp_path, replace(settings, promise={"": ""}), ground_truth=True) as writer:
        for row in rows:
            writer.add_row(row)
    scored, clean, failed = read_rows(tmp_path)
    assert repr(scored) == repr(rows[0])
    assert (clean.regions, failed.regions) == ((), None)
    assert (failed.status, failed.message) == ("error", "two\nlines")
    assert all(math.isnan(value) for value in [failed.error_share, *failed.true_class_quality.values()])


def test_columns_are_those_of_the_contract(write_folder: Write) -> None:
    header = (write_folder({"a": 0.2}) / "results.csv").read_text().splitlines()[0]
    assert header == (
        "id,source,status,message,error_share,anomaly_share,mean_quality,true_error_share,true_mean_quality,"
        "regions,largest_region,largest_region_predicted,alarms,decision,reasons,"
        "predicted_iou:road,predicted_iou:sky,predicted_iou:<i>car,true_iou:road,true_iou:sky,true_iou:<i>car"
    )


def test_intervals_have_columns_of_a_calibrated_monitor_only(write_folder: Write) -> None:
    header = (write_folder({"a": 0.2}, calibrated=True) / "results.csv").read_text().splitlines()[0]
    intervals = [column for column in header.split(",") if column.startswith("interval")]
    assert intervals == [f"interval_{end}:{name}" for end in ("low", "high") for name in ("road", "sky", "<i>car")]
    assert "interval" not in (write_folder({"a": 0.2}) / "results.csv").read_text()


def test_an_unknown_decision_is_refused(write_folder: Write) -> None:
    path = write_folder({"a": 0.2}, calibrated=True) / "results.csv"
    path.write_text(path.read_text().replace("accept", "maybe"))
    with pytest.raises(InputError, match="'maybe' is neither accept nor review"):
        read_rows(path.parent)


def test_true_quality_is_the_mean_over_the_classes_that_are_there(write_folder: Write, settings: RunSettings) -> None:
    row = read_rows(write_folder({"a": 0.2}))[0]
    assert row.true_mean_quality == pytest.approx((3 / 4 + 1 + 0) / 3, abs=1e-6)
    zeros, nothing = torch.zeros(2, 4), torch.full((2, 4), -1)
    assessment = Assessment(zeros.long(), zeros, None, zeros[None], {}, (), ())
    absent = row_of("a", "", assessment, settings.classes, label_map=torch.tensor([[0, 0, 0, 0], [0, 2, -1, -1]]))
    assert math.isnan(absent.true_class_quality["sky"])
    assert absent.true_mean_quality == pytest.approx((5 / 6 + 0) / 2)
    assert math.isnan(row_of("a", "", assessment, settings.classes, label_map=nothing).true_mean_quality)


def test_a_volume_is_judged_by_the_dice_of_its_structures() -> None:
    """By hand: the background, Dice 2 * 2 / 5, counts in no mean; the structure that nobody sees is rightly empty."""
    classes = Classes(("air", "liver", "cyst", "stone"), ((0, 0, 0),) * 4, background=0)
    truth = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2]).reshape(2, 2, 2)
    predicted = torch.tensor([0, 0, 1, 1, 1, 1, 2, 1]).reshape(2, 2, 2)
    quality = {"air": 0.9, "liver": 0.5, "cyst": 0.25, "stone": 0.75}
    assessment = Assessment(predicted, predicted / 2, None, predicted[None], quality, classes.structures, ())
    row = row_of("a", "", assessment, classes, label_map=truth)
    assert row.true_class_quality == pytest.approx({"air": 4 / 5, "liver": 6 / 9, "cyst": 0.0, "stone": 1.0})
    assert row.true_mean_quality == pytest.approx((6 / 9 + 0 + 1) / 3)
    assert row.mean_quality == pytest.approx((0.5 + 0.25 + 0.75) / 3) and row.class_quality["air"] == 0.9
    assert cells(row, "Dice")["true_dice:stone"] == "1" and "predicted_iou:air" not in cells(row, "Dice")
    assert columns(classes, "Dice", ground_truth=True)[-12::4] == ("predicted_dice:air", "true_dice:air", "worst_point")


def test_a_row_compares_the_prediction_with_the_truth(write_folder: Write) -> None:
    row = read_rows(write_folder({"a": 0.2}))[0]
    assert row.error_share == pytest.approx(0.2, abs=1e-5)
    assert row.anomaly_share == 2 / 8  # of 0, 2/7, ..., 2 two are above 1.5
    assert row.mean_quality == pytest.approx((0.8 + 0.6) / 2)
    assert row.true_error_share == pytest.approx(1 / 7, abs=1e-6)
    assert row.true_class_quality == pytest.approx({"road": 3 / 4, "sky": 1.0, "<i>car": 0.0})


def test_without_ground_truth_nothing_is_said_of_it(write_folder: Write) -> None:
    row = read_rows(write_folder({"a": 0.2}, truth=False))[0]
    assert row.true_class_quality == {} and math.isnan(row.true_error_share)


def test_regions_have_a_table_of_their_own(write_folder: Write, regions: tuple[AnomalousRegion, ...]) -> None:
    out = write_folder({"city/a, b": 0.2, "c": 0.3}, regions=True)
    assert (out / "regions.csv").read_text().splitlines() == [
        "id,number,area,share,mean_score,peak_score,y0,x0,y1,x1,predicted",
        '"city/a, b",1,2,0.25,1.75,1.875,0,1,1,3,<i>car',
        '"city/a, b",2,3,0.375,1.625,1.6875,0,2,2,4,sky',
        "c,1,2,0.25,1.75,1.875,0,1,1,3,<i>car",
        "c,2,3,0.375,1.625,1.6875,0,2,2,4,sky",
    ]
    line = next(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [line[name] for name in ("regions", "largest_region", "largest_region_predicted")] == ["2", "0.375", "sky"]
    assert [row.regions for row in read_rows(out)] == [regions, regions, None]


@pytest.mark.parametrize(("anomaly_map", "cell"), [(torch.zeros(2, 3), "0"), (None, "")])
def test_no_region_is_a_number_and_no_anomaly_map_is_none(
    tmp_path: Path, settings: RunSettings, anomaly_map: torch.Tensor | None, cell: str
) -> None:
    flat = torch.zeros(2, 3)
    assessment = Assessment(flat.long(), flat, anomaly_map, flat, {"road": 0.9}, ("road",), alarms=())
    with ResultsWriter(tmp_path, settings) as writer:
        writer.add_row(row_of("a", "a.png", assessment, settings.classes))
    (line,) = csv.DictReader((tmp_path / "results.csv").read_text().splitlines())
    assert (line["regions"], line["largest_region"], line["largest_region_predicted"]) == (cell, "", "")


def test_the_box_of_a_volume_has_three_axes(tmp_path: Path, regions: tuple[AnomalousRegion, ...]) -> None:
    region = replace(regions[0], box=((1, 3), (4, 9), (2, 8)))
    assert region_columns(3)[6:] == ("x0", "y0", "z0", "x1", "y1", "z1", "predicted")
    known = region_cells("a", 1, region)
    assert [known[name] for name in region_columns(3)[6:]] == ["1", "4", "2", "3", "9", "8", "<i>car"]
    save_text(tmp_path / "regions.csv", "\n".join(map(",".join, (known, known.values()))))
    assert read_regions(tmp_path) == {"a": (region,)}


def test_tables_of_two_runs_are_not_read_as_one(write_folder: Write) -> None:
    out = write_folder({"a": 0.2}, regions=True)
    path = out / "regions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        InputError, match=r"regions\.csv has 1 regions of a, results\.csv counts 2; both .*write the folder again"
    ):
        read_rows(out)


HOSTILE = (
    *("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\ttab", "\rreturn", "\nline", "'=1", "''", "'", "\uff1d1", "\uff20a"),
    *("a,b", 'a"b', "a\nb", "ordinary", "=", " =1", "\udcff"),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_is_a_formula_and_every_text_comes_back(tmp_path: Path, settings: RunSettings, name: str) -> None:
    region = AnomalousRegion(2, 0.25, 1.5, 1.75, ((0, 1), (1, 3)), name)
    row = ResultRow(name, name, message=name, error_share=0.5, alarms=(name, "b"), reasons=(name,), regions=(region,))
    with ResultsWriter(tmp_path, settings) as writer:
        writer.add_row(row)
    write_choice(tmp_path, [row])
    (back,) = read_rows(tmp_path)
    assert (back.id, back.source, back.message, back.alarms, back.reasons, back.regions) == (
        *(name, name, name),
        *((name, "b"), (name,), (region,)),
    )
    assert read_choice(tmp_path) == {name: 1}
    for table in ("results.csv", "regions.csv", "annotate.csv"):
        with open(tmp_path / table, encoding="utf-8", errors="surrogateescape", newline="") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff20")) for cell in cells)


def test_an_ordinary_text_is_written_as_it_is() -> None:
    assert [TEXT.write(text) for text in ("a", "=a", "'a")] == ["a", "'=a", "''a"]


@pytest.mark.parametrize(
    ("column", "cell", "rule"),
    [
        ("error_share", "much", "much"),
        ("error_share", "2.5", "no number from 0 to 2"),
        ("error_share", "-0.1", "no number from 0 to 2"),
        ("mean_quality", "inf", "no number from 0 to 1"),
        ("predicted_iou:road", "1e999", "no number from 0 to 1"),
        ("regions", "9" * 5000, "no whole number of at most 15 digits"),
        ("status", "perhaps", "neither ok nor error"),
        ("message", "x" * 200_000, "field larger than field limit"),
        ("message", "x" * 2_000_000, "a line has 1000000 characters or more"),
    ],
)
def test_a_cell_that_no_run_writes_is_refused(
    write_folder: Write, fails: Fails, column: str, cell: str, rule: str
) -> None:
    path = write_folder({"a": 0.2}) / "results.csv"
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    lines[0][column] = cell
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)
    with fails(f"{path} is not as a run writes it", rule, "write the folder again"):
        read_rows(path.parent)


@pytest.mark.parametrize(("name", "value"), [("y0", "-1"), ("x1", "9" * 400), ("x0", "3"), ("peak_score", "nan")])
def test_a_region_that_no_run_writes_is_refused(write_folder: Write, fails: Fails, name: str, value: str) -> None:
    path = write_folder({"a": 0.2}, regions=True) / "regions.csv"
    header, *lines = path.read_text().splitlines()
    line = dict(zip(header.split(","), lines[0].split(","), strict=True)) | {name: value}
    path.write_text("\n".join([header, ",".join(line.values()), *lines[1:]]))
    with fails(f"{path} is not as a run writes it", "write the folder again"):
        read_rows(path.parent)
