"""The scores of M and of every row, image by image, in memory that does not grow with the pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from synthcp.errors import InputError
from synthcp.evaluation.judgement import Judgement, Truth, region_of_interest
from synthcp.evaluation.results import DetectorResult, Results, Row
from synthcp.metrics.overlap import confusion_matrix, intersection_over_union
from synthcp.metrics.protocols import PROTOCOLS, AnomalyScores
from synthcp.metrics.ranking import PerImageRanking, StreamingRanking
from synthcp.metrics.regression import class_quality_scores
from synthcp.nn.spatial import resize
from synthcp.records import Classes, Detection, Measure


class _RowScores:
    """The running scores of one detector; the quality of the structures alone counts."""

    def __init__(self, protocols: Sequence[str], structures: list[int]) -> None:
        self.structures = structures
        self.error_pooled = StreamingRanking()
        self.error_per_image = PerImageRanking()
        self.anomaly = {name: PROTOCOLS[name]() for name in protocols}
        self.anomalous = 0
        self.true_quality: list[Tensor] = []
        self.predicted_quality: list[Tensor] = []

    def add_failures(self, detection: Detection, truth: Truth) -> None:
        if detection.error_map is not None:
            scores = detection.error_map[0].float().cpu()[truth.known]
            self.error_pooled.update(scores, truth.error[truth.known])
            self.error_per_image.update(scores, truth.error[truth.known])
        if detection.class_quality is not None:
            self.true_quality.append(truth.quality[self.structures])
            self.predicted_quality.append(detection.class_quality[0].float().cpu()[self.structures])

    def add_anomalies(self, detection: Detection, mask: Tensor, roi: Tensor) -> None:
        if detection.anomaly_map is None:
            return
        scores = _at(mask, detection.anomaly_map)
        self.anomalous += int((mask & roi).sum())
        for protocol in self.anomaly.values():
            protocol.update(scores, mask, roi)

    def result(self, row: Row) -> DetectorResult:
        quality = None
        if self.true_quality:
            quality = class_quality_scores(
                torch.stack(self.true_quality).double().numpy(), torch.stack(self.predicted_quality).double().numpy()
            )
        error = self.error_pooled.compute()
        return DetectorResult(
            row,
            error if error.images else None,
            self.error_per_image.compute() if error.images else None,
            quality,
            self._anomaly_scores() if self.anomalous else {},
        )

    def _anomaly_scores(self) -> dict[str, AnomalyScores]:
        """Scores by protocol; one that is undefined here is left out, for the others must not be lost, unless all are.

        So is the mean over images where every anomaly fills its image.
        """
        found, refused = dict[str, AnomalyScores](), list[InputError]()
        for name, protocol in self.anomaly.items():
            try:
                found[name] = protocol.compute()
            except InputError as error:
                refused.append(error)
        if refused and not found:
            raise refused[0]
        return found


class RunningScores:
    """The running scores of M, by its IoU over the pixels of all images or its mean Dice over volumes, and of rows.

    Args:
        classes: Of M.
        measure: Of their quality.
        protocols: Of anomaly segmentation, by name.
    """

    def __init__(self, classes: Classes, measure: Measure, protocols: Sequence[str]) -> None:
        self.classes = classes
        self.measure = measure
        self.structures = [classes.names.index(name) for name in classes.structures]
        self.confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.qualities: list[Tensor] = []
        self.images = 0
        self.rows: defaultdict[Row, _RowScores] = defaultdict(lambda: _RowScores(protocols, self.structures))

    def add(self, judgement: Judgement) -> None:
        """Take in what was said of one image."""
        original, true, truth = judgement.original, judgement.sample.label_map, judgement.truth
        if true is not None and truth is not None:
            predicted, ignore_index = judgement.said.label_map, self.classes.ignore_index
            self.confusion += confusion_matrix(true, predicted, len(self.classes), ignore_index)
            self.qualities.append(truth.quality)
        self.images += 1
        mask, roi = original.anomaly_mask, region_of_interest(original, self.classes.ignore_index)
        for row, detection in judgement.said.detections.items():
            if truth is not None:
                self.rows[row].add_failures(detection, truth)
            if mask is not None:
                self.rows[row].add_anomalies(detection, mask, roi)

    def results(self, facts: Mapping[str, str]) -> Results:
        """Return the scores of all images so far; raises InputError where every protocol refuses its anomalies."""
        quality = intersection_over_union(self.confusion)
        if self.measure == "Dice" and self.qualities:  # 1 in every volume is no merit, of a class that is in none
            quality = torch.stack(self.qualities).nanmean(dim=0).where(~quality.isnan(), torch.nan)
        return Results(
            detectors=tuple(scores.result(row) for row, scores in self.rows.items()),
            mean_quality=float(quality[self.structures].nanmean()),
            segmenter_quality=dict(zip(self.classes.names, quality.tolist(), strict=True)),
            images=self.images,
            class_quality=self._class_quality(),
            settings=dict(facts),
            measure=self.measure,
        )

    def _class_quality(self) -> dict[str, list[tuple[float, float]]]:
        """(true, predicted) quality by structure for the last row that predicts quality, the shipped one."""
        judging = [scores for scores in self.rows.values() if scores.true_quality]
        if not judging:
            return {}
        true, predicted = torch.stack(judging[-1].true_quality), torch.stack(judging[-1].predicted_quality)
        return {
            name: [(float(t), float(p)) for t, p in zip(true[:, i], predicted[:, i], strict=True) if not t.isnan()]
            for i, name in enumerate(self.classes.structures)
        }


def _at(mask: Tensor, anomaly_map: Tensor) -> Tensor:
    """Anomaly scores (1, *s) at the size of a mask, shape (*S), on the CPU."""
    return resize(anomaly_map[:, None].float(), mask.shape)[0, 0].cpu()
