"""score(inputs, run, out) and evaluate_run(run, dataset, out): images through a monitor into an output folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from synthcp.config.values import choose
from synthcp.data.base import Dataset
from synthcp.data.check import check_labels
from synthcp.data.nifti import Grid
from synthcp.data.prepared import resized
from synthcp.errors import DataError, InputError
from synthcp.evaluation import DEFAULT_PROTOCOLS, Results, evaluate
from synthcp.metrics.protocols import PROTOCOLS
from synthcp.monitor.inputs import Input, find_inputs, read_input
from synthcp.monitor.monitor import Monitor
from synthcp.records import Assessment, Sample
from synthcp.report.annotate import forget_choice, write_choice
from synthcp.report.html import write_report
from synthcp.report.outputs import ResultsWriter, RunSettings, write_text
from synthcp.report.rows import Row, row_of
from synthcp.report.score_files import scores_path, write_scores
from synthcp.report.tables import to_json
from synthcp.rivals.catalogue import load_detectors
from synthcp.segmentation.saved import SavedPredictions
from synthcp.system.provenance import command_line, commit, hardware, now, versions
from synthcp.training.loop import Progress, silent
from synthcp.verbs.select import select

METRICS = "metrics.json"
METHOD = "synthcp"
"""Under which name score files are found by the SegmentMeIfYouCan toolkit."""
PROTOCOL = (
    "failures at the working size of M, ignored pixels left out, positives: wrong pixels; anomalies at the size of the "
    "mask, in the region of interest, positives: unknown objects"
)
FIT_FACTS = ("data", "model", "imperfect predictions", "command", "commit", "precision", "threads")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` of a list, dealt out in turn; parts share nothing and together are the whole.

    Attributes:
        number: From 1 to count.
        count: How many parts there are.

    Raises:
        InputError: There is no such part.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"shard {self.number}/{self.count}: write i/n with i from 1 to n, such as 1/4")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "i/n"."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise InputError(f"shard {text!r}: write i/n with i from 1 to n, such as 1/4")
        return cls(int(number), int(count))

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this part of the items."""
        return items[self.number - 1 :: self.count]


def score(
    inputs: Sequence[Path],
    run: Path,
    out: Path,
    shard: Shard | None = None,
    device: str = "auto",
    precision: str = "fp32",
    progress: Progress = silent,
    model: str | None = None,
    budget: int | None = None,
    smiyc: str = "",
) -> list[Row]:
    """Score images without ground truth: results.csv, regions.csv, maps/ and report.html.

    An image that cannot be scored becomes a row with status "error" that says why; all others are scored.

    Args:
        inputs: Images and folders of images; NIfTI files and folders of them for a monitor of volumes.
        run: Folder of the monitor.
        out: Output folder.
        shard: Which part of the images to score; None takes all.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        progress: Called after every image.
        model: SPEC of an M in place of the monitor's own.
        budget: Number of images to choose for annotation, in annotate.txt and annotate.csv; None chooses none.
        smiyc: Data set of the SegmentMeIfYouCan toolkit for which score files are written; empty writes none.

    Returns:
        The rows of results.csv.

    Raises:
        InputError: There is no image or no monitor, the folder cannot be written, or not one image can be scored.
    """
    monitor = Monitor.load(run, device, precision, model)
    found = find_inputs(inputs, monitor.settings)
    files = (shard or Shard()).of(found)
    if not files:
        raise InputError(f"{len(found)} {monitor.settings.scored} are too few for {shard}; use fewer shards")
    require_predictions([file.id for file in files], monitor)
    if smiyc:
        _require_score_files(files, monitor, out, smiyc)
    rows: list[Row] = []
    embeddings: dict[str, Tensor] | None = None if budget is None else {}
    with ResultsWriter(out, _settings(monitor, run, "Scores", ", ".join(map(str, inputs)))) as writer:
        for number, file in enumerate(files):
            rows.append(_score(file, monitor, writer, embeddings, smiyc))
            progress("score", number + 1, len(files), {})
    failed = [row for row in rows if row.status == "error"]
    if len(failed) == len(rows):
        others = f" (and none of the {len(rows) - 1} others could be scored)" if len(rows) > 1 else ""
        raise DataError(failed[0].message + others)
    (out / METRICS).unlink(missing_ok=True)  # of an evaluation that was here before
    forget_choice(out)
    if budget is not None and embeddings is not None:
        write_choice(out, _chosen(rows, embeddings, budget))
    write_report(out)
    return rows


def evaluate_run(
    run: Path,
    dataset: Dataset,
    out: Path,
    detectors: list[str] | None = None,
    facts: Mapping[str, str] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    progress: Progress = silent,
    model: str | None = None,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
) -> Results:
    """Evaluate the detectors of a run against ground truth: metrics.json and what `score` writes.

    Args:
        run: Folder of the monitor.
        dataset: Images with label maps of the monitor's classes, with anomaly masks, or with both.
        out: Output folder.
        detectors: By name; None takes all that the run has.
        facts: What else a table must say, such as the data's name.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        progress: Called after every image of every stage.
        model: SPEC of an M in place of the monitor's own.
        protocols: Of anomaly segmentation, names of metrics.protocols.PROTOCOLS.

    Raises:
        InputError: The monitor, the data, a protocol or a detector's name is unusable, or the folder cannot be written.
    """
    for name in protocols:
        choose(PROTOCOLS, name, "protocol")
    monitor = Monitor.load(run, device, precision, model)
    judges = load_detectors(run, monitor, detectors)
    if dataset[0].label_map is not None:
        require_match(dataset, monitor)
    else:
        require_masks(dataset, monitor)
    facts = dict(facts or {}) | ({} if model is None else {"model": model})
    with ResultsWriter(out, _settings(monitor, run, "Evaluation", facts.get("data", "")), ground_truth=True) as writer:
        results = evaluate(
            judges,
            monitor.predictor,
            dataset,
            monitor.runtime,
            facts | _provenance(monitor),
            lambda step, steps: progress("evaluate", step, steps, {}),
            monitor.settings.scale.side,
            monitor.classes,
            protocols,
        )
        _write_samples(dataset, monitor, writer, progress)
    write_text(out / METRICS, to_json(results))
    write_report(out)
    return results


def judged(dataset: Dataset, monitor: Monitor) -> Iterator[tuple[Sample, Assessment]]:
    """Every sample at the working size, and what the monitor says of it at that size."""
    for original in dataset:
        sample = resized(original, monitor.settings.scale.side)
        yield sample, monitor.assess(original.image, sample.id, size=sample.image.shape[1:])


def seen_in_fitting(dataset: Dataset, training_ids: Sequence[str]) -> int:
    """Return how many images of a data set share their id with an image the monitor was fitted on."""
    return len(set(dataset.ids) & set(training_ids))


def _require_score_files(files: Sequence[Input], monitor: Monitor, out: Path, smiyc: str) -> None:
    """Refuse before anything is written what would give no score files, or one file for two images."""
    if monitor.segmenter is None:
        raise InputError("predictions on disk give no anomaly scores, so no score files; fit a monitor of a live model")
    if monitor.settings.spatial_dims == 3:
        raise InputError("that toolkit judges flat images; for volumes leave --smiyc out")
    first = dict[Path, Input]()
    for file in files:
        path = scores_path(out, METHOD, smiyc, _frame(file))
        if path in first:
            raise InputError(f"{first[path].source} and {file.source} would both go to {path}; score them apart")
        first[path] = file


def _frame(file: Input) -> str:
    """Name of an image in the toolkit."""
    return Path(file.id).name


def _score(
    file: Input, monitor: Monitor, writer: ResultsWriter, embeddings: dict[str, Tensor] | None, smiyc: str
) -> Row:
    """The row of one image, written with its maps; its embedding is put with the others when those are wanted."""
    settings = monitor.settings
    try:
        image, grid = read_input(file, settings)
        require_grid(file.id, file.source, grid, monitor)
        prediction = monitor.predict(image[None], file.id)
        assessment = monitor.assess(image, file.id, prediction, None if grid is None else grid.size)
    except InputError as error:  # of the file, or of a model that cannot take it
        row = Row(file.id, file.source, status="error", message=str(error))
    else:
        if embeddings is not None:
            embeddings[file.id] = monitor.embed(image[None], prediction)[0].cpu()
        row = row_of(file.id, file.source, assessment, monitor.classes, settings.usual.anomaly, grid=grid)
        writer.write_maps(file.id, image, assessment, grid=grid)
        if smiyc and assessment.anomaly_map is not None:
            write_scores(writer.out, METHOD, smiyc, _frame(file), assessment.anomaly_map)
    writer.add_row(row)
    return row


def _chosen(rows: Sequence[Row], embeddings: Mapping[str, Tensor], budget: int) -> list[Row]:
    """The images to annotate: expected to be bad, and different from each other."""
    scored = [row for row in rows if row.id in embeddings]
    stacked = torch.stack([embeddings[row.id] for row in scored]).numpy()
    return [scored[index] for index in select([row.error_share for row in scored], stacked, budget)]


def _write_samples(dataset: Dataset, monitor: Monitor, writer: ResultsWriter, progress: Progress) -> None:
    """Rows and maps with ground truth, at the working size, as the monitor judges the samples.

    Volumes are written on the grids of their files, to which the maps are resized.
    """
    threshold = monitor.settings.usual.anomaly
    for number, (sample, assessment) in enumerate(judged(dataset, monitor)):
        label_map, grid = sample.label_map, dataset.grid(number)
        writer.write_maps(sample.id, sample.image, assessment, label_map, anomaly_mask=sample.anomaly_mask, grid=grid)
        writer.add_row(
            row_of(sample.id, sample.id, assessment, monitor.classes, threshold, label_map=label_map, grid=grid)
        )
        progress("maps", number + 1, len(dataset), {})


def require_match(dataset: Dataset, monitor: Monitor) -> None:
    """Read every sample once.

    Raises:
        InputError: Classes or channels are not those of the monitor, a label map is missing or wrong, or a prediction
            is missing.
    """
    known, names = monitor.classes.names, dataset.classes.names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"class {unknown[0]!r} of the data is unknown to the monitor; it has {', '.join(known)}")
    if names != known:
        raise InputError(f"the data's classes are {', '.join(names)}; the monitor's are {', '.join(known)}; match them")
    _require_channels(dataset, monitor)
    check_labels(dataset)
    require_predictions(dataset.ids, monitor)


def require_masks(dataset: Dataset, monitor: Monitor) -> None:
    """Read every sample of a data set without label maps once; its classes do not matter.

    Raises:
        DataError: The channels are not those of the monitor, an anomaly mask is missing, or none shows an anomaly.
        InputError: A prediction is missing.
    """
    _require_channels(dataset, monitor)
    masks = {sample.id: sample.anomaly_mask for sample in dataset}
    missing = [sample_id for sample_id, mask in masks.items() if mask is None]
    if missing:
        raise DataError(f"{missing[0]} has neither label map nor anomaly mask; to score images use synthcp score")
    if not any(mask is not None and mask.any() for mask in masks.values()):
        came = f"no pixel of these {len(masks)} images is anomalous"
        raise DataError(f"{came}; no detector can be judged by them; name a split with anomalies, or add label maps")
    require_predictions(dataset.ids, monitor)


def _require_channels(dataset: Dataset, monitor: Monitor) -> None:
    channels, fitted = len(dataset[0].image), monitor.settings.channels
    if channels != fitted:
        raise DataError(f"{dataset.ids[0]} has {channels} channels; the monitor was fitted on {fitted}; convert it")


def require_grid(sample_id: str, source: str, grid: Grid | None, monitor: Monitor) -> None:
    """Refuse a volume whose prediction on disk lies on another grid than the volume itself."""
    if grid is not None and isinstance(monitor.predictor, SavedPredictions):
        monitor.predictor.require_grid(sample_id, source, grid)


def require_predictions(ids: Sequence[str], monitor: Monitor) -> None:
    """Refuse before anything is written, when M's predictions are on disk and some are not there."""
    if isinstance(monitor.predictor, SavedPredictions):
        monitor.predictor.require(ids)


def _settings(monitor: Monitor, run: Path, title: str, data: str) -> RunSettings:
    facts, usual, calibration = monitor.settings.facts, monitor.settings.usual, monitor.settings.calibration
    return RunSettings(
        classes=monitor.classes,
        title=title,
        command=command_line(),
        data=data,
        monitor=str(run),
        seed=int(facts.get("seed", 0)),
        variant=facts.get("variant", ""),
        scale=facts.get("scale", ""),
        created=now(),
        versions=versions(),
        thresholds={"error": usual.error, "anomaly": usual.anomaly} | (calibration.levels() if calibration else {}),
        promise=calibration.in_words() if calibration else {},
        anomaly_range=monitor.settings.anomaly_range,
        measure=monitor.settings.measure,
    )


def _provenance(monitor: Monitor) -> dict[str, str]:
    """What a number must be printed with, beside what it was computed on."""
    facts = monitor.settings.facts
    return {
        "protocol": PROTOCOL,
        **{name: facts[name] for name in ("variant", "scale", "seed") if name in facts},
        **{f"fit: {name}": facts[name] for name in FIT_FACTS if name in facts},
        "precision": monitor.runtime.precision,
        "hardware": hardware(monitor.runtime.device),
        "commit": commit(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "command": command_line(),
    }
