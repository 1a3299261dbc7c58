import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthcp.errors import InputError, ShapeError
from synthcp.records import AnomalousRegion, Assessment, Classes
from synthcp.report.outputs import ResultsWriter, RunSettings, map_path, read_settings
from synthcp.report.rows import ResultRow, read_rows, row_from_json, row_to_json
from synthcp.system.files import replace_whole, save_text

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
        writer.write(writer.draw("city/a", torch.rand(3, 5, 7), assessment))
    error, anomaly = pixels(tmp_path, "city/a", "error_16bit"), pixels(tmp_path, "city/a", "anomaly_16bit")
    assert np.abs(error / 65535 - assessment.error_map.numpy()).max() <= 0.51 / 65535
    assert np.abs(anomaly / 65535 * largest - assessment.anomaly_map.numpy()).max() <= 1.02 / 65535


def test_labels_and_colours_share_one_picture(tmp_path: Path, settings: RunSettings, label_map: torch.Tensor) -> None:
    assessment = replace(random_assessment(), label_map=torch.tensor([[2, 1, 0, 0], [1, 1, 2, 0]]))
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write(writer.draw("a", torch.rand(3, 2, 4), assessment, label_map, anomaly_mask=label_map == 2))
    assert pixels(tmp_path, "a", "prediction").tolist() == [[2, 1, 0, 0], [1, 1, 2, 0]]
    assert pixels(tmp_path, "a", "truth").tolist() == [[0, 0, 1, 1], [2, 0, 1, 255]]
    assert pixels(tmp_path, "a", "unknown").tolist() == [[0, 0, 0, 0], [255, 0, 0, 0]]
    with Image.open(map_path(tmp_path, "a", "prediction")) as picture:
        assert picture.convert("RGB").getpixel((1, 0)) == settings.classes.colors[1]


def test_heat_maps_grow_brighter_with_the_error(tmp_path: Path, settings: RunSettings) -> None:
    levels = torch.linspace(0, 1, 256)[None]
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write(writer.draw("a", torch.rand(3, 1, 256), replace(random_assessment(), error_map=levels)))
    with Image.open(map_path(tmp_path, "a", "error")) as picture:
        luminance = np.asarray(picture.convert("RGB")).astype(float)[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -1.0).all() and luminance[-1] > 240 > 5 > luminance[0]


def test_drawing_keeps_its_values(tmp_path: Path, settings: RunSettings) -> None:
    assessment = random_assessment()
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write(writer.draw("a", torch.rand(3, 5, 7), assessment))
    synthesis = pixels(tmp_path, "a", "synthesis") / 255
    assert np.abs(synthesis - assessment.synthesis.permute(1, 2, 0).numpy()).max() <= 0.51 / 255


def test_grey_images_stay_grey(tmp_path: Path, settings: RunSettings) -> None:
    assessment = random_assessment(channels=1)
    with ResultsWriter(tmp_path, settings) as writer:
        writer.write(writer.draw("a", torch.full((1, 5, 7), 0.4), assessment))
    assert np.abs(pixels(tmp_path, "a", "image") - 102).max() <= 1
    assert np.abs(pixels(tmp_path, "a", "synthesis") / 255 - assessment.synthesis[0].numpy()).max() <= 0.51 / 255


def test_settings_come_back(tmp_path: Path, settings: RunSettings) -> None:
    with ResultsWriter(tmp_path, settings):
        pass
    assert read_settings(tmp_path) == settings
    assert json.loads((tmp_path / "run.json").read_text())["thresholds"] == {"error": 0.3, "anomaly": 1.5}


def test_a_table_that_is_missing_is_named(tmp_path: Path, settings: RunSettings) -> None:
    with pytest.raises(InputError, match=r"results\.csv cannot be read.*give a folder that a run wrote"):
        read_rows(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    save_text(path, "old")
    with pytest.raises(InputError, match=r"report\.html cannot be written .*make room"), replace_whole(path) as partial:
        partial.write_text("half of the n")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_maps_of_an_image_that_failed_are_removed_and_no_others(tmp_path: Path, settings: RunSettings) -> None:
    with ResultsWriter(tmp_path, settings) as writer:
        for image_id in ("a", "a_error", "b/a"):
            writer.write(writer.draw(image_id, torch.rand(3, 5, 7), random_assessment()))
        kept = {path for path in tmp_path.rglob("*") if not path.name.startswith("a_") or path.parent.name == "b"}
        kept |= {path for path in tmp_path.rglob("a_error_*") if path.name != "a_error_16bit.png"}
        writer.forget_maps("a")
        writer.forget_maps("never/seen")
    assert {path for path in tmp_path.rglob("*")} == kept


def test_a_row_comes_back_to_the_last_digit(regions: tuple[AnomalousRegion, ...]) -> None:
    intervals = {"road": (0.1, 1 / 3)}
    row = ResultRow("a", "a\udcff.png", error_share=1 / 3, alarms=("b", "c"), intervals=intervals, regions=regions)
    again = row_from_json(row_to_json(row))
    assert repr(again) == repr(row)  # NaN is not equal to itself


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
        writer.write(writer.draw("a", torch.rand(3, 5, 7), assessment))


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
