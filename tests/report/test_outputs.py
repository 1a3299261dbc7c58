import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.errors import InputError, ShapeError
from synthcp.records import AnomalousRegion, Assessment, Classes
from synthcp.report.outputs import ResultsWriter, RunSettings, map_path, read_settings, replacing, write_text
from synthcp.report.rows import Row, cells, columns, read_rows, row_of

Write = Callable[..., Path]


def random_assessment(channels: int = 3) -> Assessment:
    generator = torch.Generator().manual_seed(5)
    return Assessment(
        label_map=torch.randint(0, 3, (5, 7), generator=generator),
        error_map=torch.rand(5, 7, generator=generator),
        anomaly_map=2 * torch.rand(5, 7, generator=generator),
        synthesis=torch.rand(channels, 5, 7, generator=generator),
        class_quality={"road": 0.9},
        judged=("road",),
        alarms=(),
    )


def pixels(out: Path, image_id: str, kind: str) -> np.ndarray:
    with Image.open(map_path(out, image_id, kind)) as picture:
        return np.asarray(picture).astype(np.float64)


@pytest.mark.parametrize("largest", [2.0, 1.0])
def test_numbers_come_back_within_half_a_level(tmp_path: Path, settings: RunSettings, largest: float) -> None:
    assessment = random_assessment()
    anomaly_map = assessment.anomaly_map * largest / 2
    assessment = replace(assessment, anomaly_map=anomaly_map)
    with ResultsWriter(tmp_path, replace(settings, anomaly_range=largest)) as writer:
        writer.write_maps("city/a", torch.rand(3, 5, 7), assessment)
    error, anomaly = pixels(tmp_path, "city/a", "error_16bit"), pixels(tmp_path, "city/a", "anomaly_16bit")
    assert np.abs(error / 65535 - assessment.error_map.numpy()).max() <= 0.51 / 65535
    assert np.abs(anomaly / 65535 * largest - assessment.anomaly_map.numpy()).max() <= 1.02 / 65535


def test_labels_and_colours_share_one_picture(tmp_path: Path, settings: RunSettings, label_map: torch.Tensor) -> None:
    assessment = replace(random_assessment(), label_map=torch.tensor([[2, 1, 0, 0], [1, 1, 2, 0]]))
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write_maps("a", torch.rand(3, 2, 4), assessment, label_map, label_map == 2)
    assert pixels(tmp_path, "a", "prediction").tolist() == [[2, 1, 0, 0], [1, 1, 2, 0]]
    assert pixels(tmp_path, "a", "truth").tolist() == [[0, 0, 1, 1], [2, 0, 1, 255]]
    assert pixels(tmp_path, "a", "unknown").tolist() == [[0, 0, 0, 0], [255, 0, 0, 0]]
    with Image.open(map_path(tmp_path, "a", "prediction")) as picture:
        assert picture.convert("RGB").getpixel((1, 0)) == settings.classes.colors[1]


def test_heat_maps_grow_brighter_with_the_error(tmp_path: Path, settings: RunSettings) -> None:
    levels = torch.linspace(0, 1, 256)[None]
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write_maps("a", torch.rand(3, 1, 256), replace(random_assessment(), error_map=levels))
    with Image.open(map_path(tmp_path, "a", "error")) as picture:
        luminance = np.asarray(picture.convert("RGB")).astype(float)[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -1.0).all() and luminance[-1] > 240 > 5 > luminance[0]


def test_drawing_keeps_its_values(tmp_path: Path, settings: RunSettings) -> None:
    assessment = random_assessment()
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write_maps("a", torch.rand(3, 5, 7), assessment)
    synthesis = pixels(tmp_path, "a", "synthesis") / 255
    assert np.abs(synthesis - assessment.synthesis.permute(1, 2, 0).numpy()).max() <= 0.51 / 255


def test_grey_images_stay_grey(tmp_path: Path, settings: RunSettings) -> None:
    assessment = random_assessment(channels=1)
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write_maps("a", torch.full((1, 5, 7), 0.4), assessment)
    assert np.abs(pixels(tmp_path, "a", "image") - 102).max() <= 1
    assert np.abs(pixels(tmp_path, "a", "synthesis") / 255 - assessment.synthesis[0].numpy()).max() <= 0.51 / 255


def test_rows_come_back(tmp_path: Path, settings: RunSettings, regions: tuple[AnomalousRegion, ...]) -> None:
    rows = [
        Row(
            *("city/a, b", 'say "a".png', "ok", ""),
            *(0.125, 0.25, 0.5, math.nan, 0.4375),
            ("first", "second"),
            {"road": 0.75, "sky": 0.0625, "<i>car": 0.375},
            {"road": 0.875, "sky": math.nan, "<i>car": 0.0},
            *("review", ("low quality", "and more")),
            {"road": (0.5, 1.0), "sky": (0.0, 0.25), "<i>car": (0.125, 0.625)},
            regions,
        ),
        Row("clean", "clean.png", error_share=0.25, regions=()),
        Row("bad", "bad.png", "error", "two\nlines"),
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


def test_a_table_from_before_there_were_decisions_is_read(write_folder: Write) -> None:
    out = write_folder({"a": 0.2})
    path = out / "results.csv"
    table = list(csv.reader(path.read_text().splitlines()))
    start = table[0].index("decision")
    path.write_text("\n".join(",".join(line[:start] + line[start + 2 :]) for line in table))
    old = read_rows(out)[0]
    assert (old.decision, old.reasons, old.intervals) == ("", (), {})
    assert old.class_quality["road"] == 0.8 and old.true_class_quality["sky"] == 1.0


def test_an_unknown_decision_is_refused(write_folder: Write) -> None:
    path = write_folder({"a": 0.2}, calibrated=True) / "results.csv"
    path.write_text(path.read_text().replace("accept", "maybe"))
    with pytest.raises(InputError, match="decision 'maybe' is neither accept nor review"):
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


def test_a_table_from_before_the_true_mean_was_written_is_read(write_folder: Write) -> None:
    out = write_folder({"a": 0.2})
    path = out / "results.csv"
    table = list(csv.reader(path.read_text().splitlines()))
    start = table[0].index("true_mean_quality")
    path.write_text("\n".join(",".join(line[:start] + line[start + 1 :]) for line in table))
    run = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({name: run[name] for name in run if name != "measure"}))
    old = read_rows(out)
    assert old[0].true_mean_quality == pytest.approx((3 / 4 + 1 + 0) / 3) and math.isnan(old[1].true_mean_quality)
    assert read_settings(out).measure == "IoU"


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


def test_settings_come_back(tmp_path: Path, settings: RunSettings) -> None:
    ResultsWriter(tmp_path, settings).close()
    assert read_settings(tmp_path) == settings
    assert json.loads((tmp_path / "run.json").read_text())["thresholds"] == {"error": 0.3, "anomaly": 1.5}


def test_a_run_that_dies_keeps_its_rows_aside(
    tmp_path: Path, settings: RunSettings, regions: tuple[AnomalousRegion, ...]
) -> None:
    with pytest.raises(KeyboardInterrupt), ResultsWriter(tmp_path, settings) as writer:
        writer.add_row(Row("a", "a.png", error_share=0.5, regions=regions))
        raise KeyboardInterrupt
    with pytest.raises(InputError, match=r"results\.csv cannot be read.*rename results\.csv\.partial"):
        read_rows(tmp_path)
    for name in ("results.csv", "regions.csv"):
        (tmp_path / f"{name}.partial").rename(tmp_path / name)
    assert (read_rows(tmp_path)[0].error_share, read_rows(tmp_path)[0].regions) == (0.5, regions)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")
    with pytest.raises(InputError, match=r"report\.html cannot be written"), replacing(path) as partial:
        partial.write_text("half of the n")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_an_unwritable_folder_is_named(tmp_path: Path, settings: RunSettings) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file/out/run\.json cannot be written .*choose another"):
        ResultsWriter(tmp_path / "file" / "out", settings)


@pytest.mark.parametrize("image_id", ["../../secret", "/etc/secret", "a/../../b"])
def test_no_id_leads_out_of_the_folder(tmp_path: Path, image_id: str) -> None:
    with pytest.raises(InputError, match="leads out of"):
        map_path(tmp_path, image_id, "image")


def test_too_many_classes_for_a_palette(tmp_path: Path) -> None:
    classes = Classes(tuple(map(str, range(256))), ((0, 0, 0),) * 256)
    with pytest.raises(InputError, match="256 classes"):
        ResultsWriter(tmp_path, RunSettings(classes))


def test_volumes_have_no_picture(tmp_path: Path, settings: RunSettings) -> None:
    assessment = replace(random_assessment(), error_map=torch.rand(2, 5, 7))
    with pytest.raises(ShapeError, match=r"\(2, 5, 7\)"), ResultsWriter(tmp_path, settings) as writer:
        writer.write_maps("a", torch.rand(3, 5, 7), assessment)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.csv", "id,source\na,b\n"),
        ("regions.csv", "id,area\na,many\n"),
        ("run.json", "{"),
        ("run.json", "{}"),
        ("run.json", "[]"),
    ],
)
def test_a_broken_file_is_named(write_folder: Write, name: str, text: str) -> None:
    out = write_folder({"a": 0.2})
    (out / name).write_text(text)
    with pytest.raises(InputError, match=name):
        read_rows(out)
        read_settings(out)
