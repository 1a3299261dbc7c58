"""The output folder: results.csv, regions.csv, run.json and maps/, from which alone a report can be built again."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from synthcp.config.values import from_dict, to_dict
from synthcp.data.nifti import Grid
from synthcp.errors import InputError
from synthcp.ranges import check_ranges
from synthcp.records import Assessment, Classes, Measure
from synthcp.report.glance import Glances, glance_at
from synthcp.report.maps import MapFiles, Maps, flat_maps, maps_of, pictures_of, write_arrays, write_volumes
from synthcp.report.png import png_of
from synthcp.report.rows import REGIONS, RESULTS, ResultRow, cells, columns, region_cells, region_columns
from synthcp.system.files import load_json, save_text, writing
from synthcp.system.regular import MEBIBYTE, require_file

RUN = "run.json"
MAP = re.compile(
    r"(image|synthesis|prediction|truth|unknown|error|anomaly)(_\d{4}|_16bit)?\.(png|jpg|nii\.gz)|maps\.npz"
)
"""How the name of a map ends, behind the id of its image."""


@dataclass(frozen=True)
class RunSettings:
    """What run.json holds: how the output folder came to be.

    Attributes:
        classes: The label set of the label maps in the folder.
        title: Heading of the report.
        command: The command line that wrote the folder.
        data: SPEC of the images.
        monitor: The run folder of the monitor.
        seed: Seed of the run.
        variant: What was computed: paper, official or ours.
        scale: How big it was: tiny, small or full.
        created: Date and time, ISO 8601.
        versions: Version per library.
        thresholds: Of pixels, "error", in [0, 1], and "anomaly", in the range of the map; of a calibrated monitor also
            "floor", the true quality below which a prediction is bad, and "accept", the predicted quality from which it
            is accepted.
        promise: Of a calibrated monitor, in words, by subject.
        anomaly_range: Largest value of an anomaly map, white in its pictures; the smallest is 0.
        measure: Of the quality of a class, in every table and text.
        maps: How the maps are written; the report shows pictures alone.
        shard: Which part of the images it is about, "i/n"; empty of all.
        run: Digest of all that the results depend on but the shard; equal in all shards of one run.
    """

    classes: Classes
    title: str = "SynthCP report"
    command: str = ""
    data: str = ""
    monitor: str = ""
    seed: int = 0
    variant: str = ""
    scale: str = ""
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    promise: dict[str, str] = field(default_factory=dict)
    anomaly_range: float = 2.0
    measure: Measure = "IoU"
    maps: MapFiles = "png"
    shard: str = ""
    run: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, thresholds=(0.0, 1e6), anomaly_range=(1e-6, 1e6))

    @property
    def has_volumes(self) -> bool:
        """Whether the images are volumes, whose quality is measured by Dice."""
        return self.measure == "Dice"


@dataclass(frozen=True)
class Drawn:
    """What is to be written of the maps of one image.

    Attributes:
        image_id: Of the image.
        error_share: By which the report ranks it.
        pictures: By kind.
        volumes: Maps of a volume, by kind, for its grid.
        grid: Of the file of a volume.
        arrays: Maps that are written as they are, by kind.
    """

    image_id: str
    error_share: float
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    volumes: Maps = field(default_factory=dict)
    grid: Grid | None = None
    arrays: Maps = field(default_factory=dict)


class ResultsWriter:
    """Writes the files of an output folder image by image, where nobody looks before the whole folder is written.

    Attributes:
        glances: At the maps that were written, for the report.
    """

    def __init__(self, out: Path, settings: RunSettings, ground_truth: bool = False) -> None:
        """Creates the folder and run.json; with ground truth, results.csv has columns of true quality.

        Raises:
            InputError: The folder cannot be written, or the label maps have too many classes for a palette.
        """
        if len(settings.classes) > 255:
            raise InputError(f"{len(settings.classes)} classes: a palette PNG holds at most 255; merge rare classes")
        self.out = out
        self.settings = settings
        self.glances = Glances()
        save_text(out / RUN, json.dumps(to_dict(settings), indent=2))
        header = columns(settings.classes, settings.measure, ground_truth, calibrated=bool(settings.promise))
        self._rows = _Table(out / RESULTS, header)
        self._regions = _Table(out / REGIONS, region_columns(3 if settings.has_volumes else 2))

    def draw(
        self,
        image_id: str,
        image: Tensor,
        assessment: Assessment,
        label_map: Tensor | None = None,
        *,
        anomaly_mask: Tensor | None = None,
        grid: Grid | None = None,
    ) -> Drawn:
        """Draws the maps of one image (C, *S), as the settings say; the ground truth (*S) as far as it is known.

        The pictures of a volume show three planes of it; with the grid of its file its maps are NIfTI files as well.
        `write` writes what is drawn.
        """
        maps, kind = maps_of(image, assessment, label_map, anomaly_mask), self.settings.maps
        drawn = Drawn(image_id, assessment.error_share)
        if kind == "npz":
            return replace(drawn, arrays=maps)
        if kind == "none":
            return drawn
        classes = self.settings.classes
        flat = flat_maps(maps, classes, grid) if maps["prediction"].dim() == 3 else maps
        pictures = pictures_of(flat, classes, self.settings.anomaly_range)
        return replace(drawn, pictures=pictures, volumes={} if grid is None else maps, grid=grid)

    def write(self, drawn: Drawn) -> None:
        """Writes what was drawn of an image; any thread may."""
        path = map_path(self.out, drawn.image_id, "error")
        if drawn.grid is not None:
            write_volumes(path.parent, path.name.removesuffix("_error.png"), drawn.volumes, drawn.grid)
        if drawn.arrays:
            write_arrays(map_path(self.out, drawn.image_id, "maps", ".npz"), drawn.arrays)
        for kind, picture in drawn.pictures.items():
            write_picture(map_path(self.out, drawn.image_id, kind), picture)
        if drawn.pictures:
            self.glances.add(drawn.image_id, drawn.error_share, glance_at(drawn.pictures))

    def forget_maps(self, image_id: str) -> None:
        """Removes what was written of an image that failed."""
        some = map_path(self.out, image_id, "error")
        start = some.name.removesuffix("error.png")
        for path in list(some.parent.iterdir()) if some.parent.is_dir() else ():
            if path.name.startswith(start) and MAP.fullmatch(path.name.removeprefix(start)):
                path.unlink()

    def add_row(self, row: ResultRow) -> None:
        """Appends one line, and those of its regions."""
        for number, region in enumerate(row.regions or (), start=1):
            self._regions.add(region_cells(row.id, number, region))
        self._rows.add(cells(row, self.settings.measure))

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(self, *raised: object) -> None:
        for table in (self._regions, self._rows):
            table.close()


class _Table:
    """A CSV file that grows line by line."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path = path
        with writing(path):
            self._file = open(path, "w", encoding="utf-8", errors="surrogateescape", newline="")
        self._csv = csv.DictWriter(self._file, header)
        self._csv.writeheader()

    def add(self, known: Mapping[str, str]) -> None:
        with writing(self._path):
            self._csv.writerow({name: known.get(name, "") for name in self._csv.fieldnames})

    def close(self) -> None:
        with writing(self._path):
            self._file.close()


def map_path(out: Path, image_id: str, kind: str, suffix: str = "") -> Path:
    """Where a map of an image lies; raises InputError for an id that leads out of the folder."""
    maps = out / "maps"
    path = maps / f"{image_id}_{kind}{suffix or ('.jpg' if kind == 'image' else '.png')}"
    if "\0" in image_id or not path.resolve().is_relative_to(maps.resolve()):
        raise InputError(f"the id {image_id!r} leads out of {maps}; an id is a relative path without '..'")
    return path


def read_settings(out: Path) -> RunSettings:
    """What run.json holds; raises InputError, naming the file, when it is missing or broken."""
    path = out / RUN
    if path.exists():
        require_file(path, 64 * MEBIBYTE)
    record = load_json(path)
    try:
        return from_dict(RunSettings, record)
    except InputError as error:
        raise InputError(f"{path} holds no settings of a run: {error}; write the folder again") from error


def write_picture(path: Path, picture: Image.Image) -> None:
    """Writes a picture, in the format of its suffix; raises InputError when it cannot be written."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg":
            picture.save(path, quality=90)
        else:
            path.write_bytes(png_of(picture))
