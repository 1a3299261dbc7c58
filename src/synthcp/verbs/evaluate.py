"""evaluate(monitor, data, out): the detectors of a monitor against ground truth, into an output folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthcp.config.values import choose
from synthcp.data.base import Dataset
from synthcp.evaluation import DEFAULT_PROTOCOLS, Judged, Results, Row, judge
from synthcp.fitting.heads import SYNTHCP
from synthcp.metrics.protocols import PROTOCOLS
from synthcp.monitor.monitor import Monitor
from synthcp.records import Assessment
from synthcp.report.html import write_report
from synthcp.report.outputs import ResultsWriter, write_text
from synthcp.report.rows import row_of
from synthcp.report.tables import to_json
from synthcp.rivals.catalogue import load_detectors
from synthcp.system.progress import Progress, silent
from synthcp.verbs.checks import require_masks, require_match
from synthcp.verbs.facts import other_model, provenance, run_settings
from synthcp.verbs.given import AnyData, AnyMonitor, folder_of, open_data, open_monitor

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
    progress: Progress = silent,
) -> Results:
    """Evaluate the detectors of a monitor against ground truth: metrics.json and what `score` writes.

    Args:
        monitor: A monitor, or the folder of one.
        data: Images with label maps of the monitor's classes, with anomaly masks, or with both; or their SPEC, whose
            split is "test" unless it names another.
        out: Output folder.
        detectors: By name; None takes all that the monitor has.
        protocols: Of anomaly segmentation, names of metrics.protocols.PROTOCOLS.
        facts: What else a table must say, such as the name of the data; a SPEC is told without it.
        progress: Called after every image.

    Raises:
        InputError: The monitor, the data, a protocol or a detector's name is unusable, or the folder cannot be written.
    """
    for name in protocols:
        choose(PROTOCOLS, name, "protocol")
    monitor = open_monitor(monitor)
    dataset, named = open_data(data, "test")
    chosen = load_detectors(folder_of(monitor), monitor, None if detectors is None else list(detectors))
    require = require_masks if dataset[0].label_map is None else require_match
    require(dataset, monitor)
    facts, out = named | dict(facts or {}) | other_model(monitor), Path(out)
    settings = run_settings(monitor, "Evaluation", facts.get("data", ""))
    with ResultsWriter(out, settings, ground_truth=True) as writer:
        results = judge(
            chosen,
            monitor.predictor,
            dataset,
            runtime=monitor.runtime,
            side=monitor.settings.scale.side,
            classes=monitor.classes,
            facts=facts | {"protocol": PROTOCOL} | provenance(monitor),
            protocols=protocols,
            progress=lambda step, steps: progress("evaluate", step, steps, {}),
            watch=_Writing(monitor, dataset, writer),
        )
    write_text(out / METRICS, to_json(results))
    write_report(out)
    return results


@dataclass(frozen=True)
class _Writing:
    """Writes the row and the maps of every image, with ground truth, at the working size.

    Volumes are written on the grids of their files, to which the maps are resized.
    """

    monitor: Monitor
    dataset: Dataset
    writer: ResultsWriter

    def __call__(self, judged: Judged) -> None:
        sample, grid, monitor = judged.sample, self.dataset.grid(judged.index), self.monitor
        assessment, threshold = self._assessment(judged), monitor.settings.usual.anomaly
        label_map, mask = sample.label_map, sample.anomaly_mask
        self.writer.write_maps(sample.id, sample.image, assessment, label_map, anomaly_mask=mask, grid=grid)
        row = row_of(sample.id, sample.id, assessment, monitor.classes, threshold, label_map=label_map, grid=grid)
        self.writer.add_row(row)

    def _assessment(self, judged: Judged) -> Assessment:
        """What the monitor says; its detector runs here only where it is not among those that were chosen."""
        detection = judged.detections.get(Row(SYNTHCP))
        if detection is None:
            _, detection = self.monitor.detect(judged.original.image[None], judged.sample.id, judged.prediction)
        return self.monitor.assessment(judged.prediction, detection, judged.sample.image.shape[1:])
