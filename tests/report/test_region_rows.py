import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthcp.errors import InputError
from synthcp.records import AnomalousRegion, Assessment
from synthcp.report.html import write_report
from synthcp.report.outputs import ResultsWriter, RunSettings, write_text
from synthcp.report.region_rows import read_regions, region_cells, region_columns
from synthcp.report.rows import read_rows, row_of

Write = Callable[..., Path]


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
    write_text(tmp_path / "regions.csv", "\n".join(map(",".join, (known, known.values()))))
    assert read_regions(tmp_path) == {"a": (region,)}


def test_tables_of_two_runs_are_not_read_as_one(write_folder: Write) -> None:
    out = write_folder({"a": 0.2}, regions=True)
    path = out / "regions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"regions\.csv has 1 regions of a, results\.csv counts 2; both .*\.partial"):
        read_rows(out)


def test_a_folder_from_before_there_were_regions_is_read(write_folder: Write) -> None:
    out = write_folder({"a": 0.2}, regions=True)
    path = out / "results.csv"
    table = list(csv.reader(path.read_text().splitlines()))
    start = table[0].index("regions")
    path.write_text("\n".join(",".join(line[:start] + line[start + 3 :]) for line in table))
    (out / "regions.csv").unlink()
    old = read_rows(out)[0]
    assert old.regions is None and old.true_class_quality["sky"] == 1.0
    write_report(out)
