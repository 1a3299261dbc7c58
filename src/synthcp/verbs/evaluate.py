"""evaluate(monitor, data, out): the detectors of a monitor against ground truth, into an output folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.config.values import choose
from synthcp.data.base import Dataset
from synthcp.data.readable import Readable
from synthcp.errors import InputError
from synthcp.evaluation.judgement import Judged, Said
from synthcp.evaluation.judging import judge
from synthcp.evaluation.results import DEFAULT_PROTOCOLS, Results, Row
from synthcp.fitting.heads import SYNTHCP
from synthcp.metrics.protocols import PROTOCOLS
from synthcp.monitor.monitor import Monitor
from synthcp.records import Assessment, Sample
from synthcp.report.html import write_report
from synthcp.report.maps import MapFiles
from synthcp.report.outputs import Drawn, ResultsWriter, RunSettings
from synthcp.report.rows import ResultRow, row_of
from synthcp.report.tables import to_json
from synthcp.rivals.catalogue import load_detectors
from synthcp.system.failures import LOG, Failures
from synthcp.system.files import save_text
from synthcp.system.kept import Work
from synthcp.system.output_folder import output_folder
from synthcp.system.progress import Progress, silent
from synthcp.verbs.checks import require_apart, require_maps, require_masks, require_match, require_some
from synthcp.verbs.facts import FAILED, digest_of, identity, other_model, provenance, run_begun, run_settings
from synthcp.verbs.given import AnyData, AnyMonitor, folder_of, open_data, open_monitor
from synthcp.verbs.said import digest_of_sample, done_of, said_of

METRICS = "metrics.json"
PROTOCOL = (
    "failures at the working size of M, ignored pixels left out, positives: wrong pixels; anomalies at the size of the "
    "mask, in the region of interest, positives: unknown objects"
)


def evaluate(
    monitor: AnyMonitor,
    data: AnyData,
    out: str | Path,
    *,
    detectors: Sequence[str] | None = None,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    facts: Mapping[str, str] | None = None,
    maps: MapFiles = "png",
    report: bool = True,
    batch: int = 1,
    resume: bool = False,
    progress: Progress = silent,
) -> Results:
    """Evaluate the detectors of a monitor against ground truth: metrics.json and what `score` writes.

    Args:
        monitor: A monitor, or the folder of one.
        data: Images with label maps of the monitor's classes, with anomaly masks, or with both; or their SPEC, whose
            split is "test" unless it names another.
        out: Output folder: new, empty, or that of an older run, which is replaced as a whole.
        detectors: By name; None takes all that the monitor has.
        protocols: Of anomaly segmentation, names of metrics.protocols.PROTOCOLS.
        facts: What else a table must say, such as the name of the data; a SPEC is told without it.
        maps: How the maps are written: "png" as pictures (of volumes also as NIfTI files), "npz" as arrays, or "none".
        report: Whether report.html is written.
        batch: How many images of one size are judged together, at most; small ones are faster so. What is said of an
            image is what is said of it alone, within 1e-5.
        resume: Go on from what the same run has done, if it was interrupted.
        progress: Called after every image.

    Returns:
        The scores over the images that could be judged; of the others, `settings["failed"]` tells.

    Raises:
        InputError: The monitor, the data, a protocol or a detector's name is unusable, the folder cannot be written or
            replaced, another run is at work on it, or not one image can be judged, which the folder then says of each.
    """
    require_maps(maps)
    for name in protocols:
        choose(PROTOCOLS, name, "protocol")
    monitor = open_monitor(monitor)
    dataset, named = open_data(data, "test")
    chosen = load_detectors(folder_of(monitor), monitor, None if detectors is None else list(detectors))
    require = require_masks if Readable(dataset)[0].label_map is None else require_match
    require(dataset, monitor)
    facts, out = named | dict(facts or {}) | other_model(monitor), Path(out)
    require_apart(out, monitor, dataset.read_from)
    asked = {"verb": "eval", "detectors": ", ".join(chosen), "protocols": ", ".join(protocols)} | identity(monitor)
    asked |= {"kind of maps": maps, "data": digest_of(*dataset.ids, *map(str, facts.items()))}
    with output_folder(out, asked, resume) as work:
        results, failures = evaluate_into(
            work,
            monitor,
            dataset,
            chosen,
            settings=replace(run_settings(monitor, "Evaluation", facts.get("data", "")), maps=maps),
            protocols=protocols,
            facts=facts,
            report=report,
            batch=batch,
            progress=progress,
        )
    require_some(failures, len(dataset), "judged")
    return results


def evaluate_into(
    work: Work,
    monitor: Monitor,
    dataset: Dataset,
    detectors: Mapping[str, Detector],
    *,
    settings: RunSettings,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    facts: Mapping[str, str],
    report: bool = True,
    batch: int = 1,
    progress: Progress = silent,
) -> tuple[Results, Failures]:
    """Write all files of an evaluation to where a run works; other arguments as `evaluate`, which has checked them.

    Args:
        work: Where the run works.
        monitor: That is evaluated.
        dataset: Images with ground truth.
        detectors: By name.
        settings: For run.json.
        protocols: Of anomaly segmentation.
        facts: What a table must say.
        report: Whether report.html is written.
        batch: How many images of one size are judged together, at most.
        progress: Called after every image.

    Returns:
        The scores, and why images failed; where all did, there are no scores.
    """
    settings = run_begun(work, settings)
    failures = Failures(work.new / LOG)
    with ResultsWriter(work.new, settings, ground_truth=True) as writer:
        writing = _Writing(monitor, dataset, writer, work, failures)
        results = judge(
            detectors,
            monitor.predictor,
            dataset,
            runtime=monitor.runtime,
            side=monitor.settings.scale.side,
            classes=monitor.classes,
            facts={**facts, "protocol": PROTOCOL, **provenance(monitor), "command": settings.command},
            protocols=protocols,
            batch=1 if monitor.segmenter is None else batch,
            progress=lambda step, steps: progress("evaluate", step, steps, {}),
            watch=writing,
            costing=writing.costing,
            recall=writing.recall,
        )
    if failures.messages:
        results = replace(results, settings=results.settings | {FAILED: failures.told(len(dataset))})
    if results.images:
        save_text(work.new / METRICS, to_json(results))
    if report:
        write_report(work.new, glances=writer.glances)
    return results, failures


@dataclass(frozen=True)
class _Writing:
    """Writes the row and the maps of every image, with ground truth, at the working size.

    Volumes are written on the grids of their files, to which the maps are resized.
    """

    monitor: Monitor
    dataset: Dataset
    writer: ResultsWriter
    work: Work
    failures: Failures
    rows: dict[str, ResultRow] = field(default_factory=dict)

    def __call__(self, judged: Judged) -> Callable[[], None]:
        sample, grid, monitor = judged.sample, self.dataset.grid(judged.index), self.monitor
        assessment, threshold = self._assessment(judged), monitor.settings.thresholds.anomaly
        label_map, mask = sample.label_map, sample.anomaly_mask
        drawn = self.writer.draw(sample.id, sample.image, assessment, label_map, anomaly_mask=mask, grid=grid)
        row = row_of(sample.id, sample.id, assessment, monitor.classes, threshold, label_map=label_map, grid=grid)
        return partial(self._write, judged, drawn, row)

    def _write(self, judged: Judged, drawn: Drawn, row: ResultRow) -> None:
        self.writer.write(drawn)
        self.work.keep(judged.index, done_of(judged, row))
        self.rows[row.id] = row

    @contextmanager
    def costing(self, sample_id: str) -> Iterator[None]:
        """Let what an image raises cost its row alone, which is written when all is known of it."""
        with self.failures.costing(sample_id):
            yield
        message, row = self.failures.messages.get(sample_id), self.rows.pop(sample_id, None)
        if message is not None:
            with suppress(OSError, InputError):
                self.writer.forget_maps(sample_id)
            row = ResultRow(sample_id, sample_id, status="error", message=message)
        if row is not None:
            self.writer.add_row(row)

    def recall(self, index: int, original: Sample) -> Said | None:
        """What was said of an image before the run was interrupted, whose row is written again."""
        if not self.work.goes_on:
            return None
        done = self.work.kept(index, digest_of_sample(original), original.id)
        if done is None:
            return None
        said, self.rows[original.id] = said_of(done)
        return said

    def _assessment(self, judged: Judged) -> Assessment:
        """What the monitor says; its detector runs here only where it is not among those that were chosen."""
        detection = judged.detections.get(Row(SYNTHCP))
        if detection is None:
            _, detection = self.monitor.detect(judged.original.image[None], judged.sample.id, judged.prediction)
        return self.monitor.assessment(judged.prediction, detection, judged.sample.image.shape[1:])
