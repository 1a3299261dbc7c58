"""Every number of judge() by scikit-learn and SciPy, on predictions and scores that are planted in the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, roc_auc_score, roc_curve
from torch import Tensor

from synthcp.comparison.base import Detector
from synthcp.data.base import Dataset
from synthcp.data.subset import Subset
from synthcp.data.working_size import resized
from synthcp.errors import DataError, ShapeError
from synthcp.evaluation.judgement import Judged
from synthcp.evaluation.judging import judge
from synthcp.evaluation.results import Results, Row
from synthcp.metrics.protocols import AnomalyScores
from synthcp.metrics.ranking import RankingScores
from synthcp.records import Classes, Detection, Prediction, Sample
from synthcp.segmentation.base import Segmenter
from synthcp.system.runtime import Runtime

CLASSES, IGNORE, SIZE, COUNT = 4, 9, (6, 7), 5
CPU = Runtime(torch.device("cpu"))
Numbers = NDArray[np.float64]


class Planted(Dataset):
    """Images whose channels are the logits of M, the error scores and the anomaly scores; class 3 never occurs."""

    def __init__(self) -> None:
        self.classes = Classes(tuple("abcd"), ((0, 0, 0),) * CLASSES, ignore_index=IGNORE)
        self.ids = [f"image{index}" for index in range(COUNT)]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        label_map = torch.randint(3, SIZE, generator=generator)
        logits = torch.randn(CLASSES, *SIZE, generator=generator)
        logits.scatter_add_(0, label_map[None], torch.full((1, *SIZE), 2.0 if index != 2 else 99.0))
        logits[3] = -99
        wrong = logits.argmax(0) != label_map
        mask = torch.rand(SIZE, generator=generator) < (0.2 if index != 1 else 0)
        scores = torch.randn(2, *SIZE, generator=generator).mul(4).round() / 4 + torch.stack([wrong, 2 * mask])
        label_map[0, :2] = IGNORE
        label_map[mask & (torch.rand(SIZE, generator=generator) < 0.9)] = IGNORE  # some unknown pixels are labelled
        return Sample(self.ids[index], torch.cat([logits, scores]), label_map, mask)


class Reading(Segmenter):
    """Reads the logits off the image."""

    def __init__(self) -> None:
        super().__init__(2, (0.0,), (1.0,))

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return image[:, :CLASSES], [image[:, :CLASSES]]


@dataclass(frozen=True)
class ReadingDetector:
    """Reads its scores off the image; predicts the quality from the first logits."""

    judges_quality: bool

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        if not self.judges_quality:
            return Detection(error_map=image[:, CLASSES])
        quality = image[:, :CLASSES, 3, 3].sigmoid()
        return Detection(anomaly_map=image[:, CLASSES + 1], class_quality=quality)


def evaluated(dataset: Dataset, side: int = 0) -> Results:
    detectors: dict[str, Detector] = {"first": ReadingDetector(False), "second": ReadingDetector(True)}
    return judge(detectors, Reading().eval(), dataset, runtime=CPU, facts={"seed": "3"}, side=side)


@pytest.fixture(scope="module")
def results() -> Results:
    return evaluated(Planted())


def judged(part: str) -> list[tuple[Numbers, NDArray[np.bool_]]]:
    """(scores, positives) of every image."""
    images = []
    for sample in Planted():
        assert sample.label_map is not None and sample.anomaly_mask is not None
        known = sample.label_map != IGNORE
        if part == "error":
            keep, positive = known, sample.image[:CLASSES].argmax(0) != sample.label_map
        else:
            keep, positive = known | sample.anomaly_mask, sample.anomaly_mask
        scores = sample.image[CLASSES if part == "error" else CLASSES + 1]
        images.append((scores[keep].double().numpy(), positive[keep].numpy()))
    return images


def oracle(scores: Numbers, positive: NDArray[np.bool_]) -> tuple[float, float, float, float, float]:
    false_rate, true_rate, _ = roc_curve(positive, scores, drop_intermediate=False)
    return (
        float(roc_auc_score(positive, scores)),
        float(average_precision_score(positive, scores)),
        float(average_precision_score(~positive, -scores)),
        float(false_rate[np.argmax(true_rate >= 0.95)]),
        float(positive.mean()),
    )


def numbers(scores: RankingScores | None) -> tuple[float, float, float, float, float]:
    assert scores is not None
    return scores.auroc, scores.ap_error, scores.ap_success, scores.fpr95, scores.prevalence


def anomaly_numbers(scores: AnomalyScores) -> tuple[float, float, float, float]:
    return scores.auroc, scores.aupr, scores.fpr95, scores.prevalence


def without_ap_success(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    auroc, ap_error, _, fpr95, prevalence = numbers
    return auroc, ap_error, fpr95, prevalence


def test_pooled(results: Results) -> None:
    scores, positive = (np.concatenate(parts) for parts in zip(*judged("error"), strict=True))
    pooled = results.detectors[0].error_pooled
    assert numbers(pooled) == pytest.approx(oracle(scores, positive))
    assert pooled is not None and (pooled.pixels, pooled.images) == (len(scores), COUNT)
    scores, positive = (np.concatenate(parts) for parts in zip(*judged("anomaly"), strict=True))
    found = results.detectors[1].anomaly["pooled"]
    assert anomaly_numbers(found) == pytest.approx(without_ap_success(oracle(scores, positive)))
    assert (found.pixels, found.images) == (len(scores), COUNT)
    assert found.void_share == pytest.approx(1 - len(scores) / (COUNT * SIZE[0] * SIZE[1]))


def test_per_image(results: Results) -> None:
    rankable = [image for image in judged("error") if 0 < image[1].mean() < 1]
    assert len(rankable) == COUNT - 1  # image 2 has no error
    scores = results.detectors[0].error_per_image
    assert numbers(scores) == pytest.approx(tuple(np.mean([oracle(*image) for image in rankable], axis=0)))
    assert scores is not None and (scores.images, scores.skipped) == (COUNT - 1, 1)
    rankable = [image for image in judged("anomaly") if 0 < image[1].mean() < 1]
    assert len(rankable) == COUNT - 1  # image 1 has nothing unknown
    found = results.detectors[1].anomaly["caos"]
    auroc, aupr, _, prevalence = without_ap_success(np.mean([oracle(*image) for image in rankable], axis=0).tolist())
    assert (found.auroc, found.aupr, found.prevalence) == pytest.approx((auroc, aupr, prevalence))
    assert (found.images, found.skipped) == (COUNT - 1, 1)


def test_anomalies_are_judged_at_the_size_of_the_mask_in_the_region_of_interest() -> None:
    class Twice(Planted):
        """Twice as large, each pixel four times; the left half is of interest, and nothing has a class."""

        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            assert sample.anomaly_mask is not None
            large = sample.anomaly_mask.repeat_interleave(2, 0).repeat_interleave(2, 1)
            roi = torch.zeros_like(large)
            roi[:, : SIZE[1]] = True
            image = sample.image.repeat_interleave(2, 1).repeat_interleave(2, 2)
            return Sample(sample.id, image, None, large, roi=roi)

    results = evaluated(Twice(), side=SIZE[0])
    parts = []
    for sample in Twice():
        assert sample.roi is not None and sample.anomaly_mask is not None
        small = resized(sample, SIZE[0]).image[None]
        scores = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")[0, CLASSES + 1]
        parts.append((scores[sample.roi].double().numpy(), sample.anomaly_mask[sample.roi].numpy()))
    scores, positive = (np.concatenate(part) for part in zip(*parts, strict=True))
    found = results.detectors[1]
    assert anomaly_numbers(found.anomaly["pooled"]) == pytest.approx(without_ap_success(oracle(scores, positive)))
    assert found.quality is None and results.detectors[0].error_pooled is None and math.isnan(results.mean_quality)


class Whole(Planted):
    """Images 0 and 1 are known throughout, the others are anomalies throughout."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, anomaly_mask=torch.full(SIZE, index > 1))


def test_where_every_anomaly_fills_its_image_only_the_mean_over_images_is_left_out() -> None:
    results = evaluated(Whole())
    assert set(results.detectors[1].anomaly) == {"pooled"} and results.detectors[1].anomaly["pooled"].aupr > 0
    assert results.detectors[0].error_pooled is not None


def test_where_all_is_anomalous_nothing_can_be_judged(fails: Callable[..., AbstractContextManager[None]]) -> None:
    with fails("every judged pixel is anomalous"):
        evaluated(Subset(Whole(), [2, 3]))


def test_a_mask_of_another_size_is_refused() -> None:
    class Narrow(Planted):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            assert sample.anomaly_mask is not None
            return replace(sample, anomaly_mask=sample.anomaly_mask[:, 1:])

    with pytest.raises(ShapeError, match=r"image0: the anomaly mask is \(6, 6\), its image \(6, 7\)"):
        evaluated(Narrow())


def quality_pairs() -> dict[str, list[tuple[float, float]]]:
    """(true, predicted) IoU by class, over the images where the class is present."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in "abcd"}
    for sample in Planted():
        assert sample.label_map is not None
        known = sample.label_map != IGNORE
        true, predicted = sample.label_map[known].numpy(), sample.image[:CLASSES].argmax(0)[known].numpy()
        for label, name in enumerate("abcd"):
            if (true == label).any():
                iou = jaccard_score(true == label, predicted == label)
                pairs[name].append((float(iou), float(sample.image[label, 3, 3].sigmoid())))
    return pairs


def test_class_quality(results: Results) -> None:
    pairs = quality_pairs()
    assert pairs.pop("d") == results.class_quality["d"] == []
    for name, expected in pairs.items():
        np.testing.assert_allclose(results.class_quality[name], expected, rtol=1e-6)
    quality = results.detectors[1].quality
    assert quality is not None and results.detectors[0].quality is None
    columns = [np.array(expected).T for expected in pairs.values()]
    assert quality.mae == pytest.approx(np.mean([np.abs(p - t).mean() for t, p in columns]))
    assert quality.std == pytest.approx(np.mean([np.abs(p - t).std() for t, p in columns]))
    assert quality.pearson == pytest.approx(np.mean([pearsonr(t, p)[0] for t, p in columns]))
    assert quality.spearman == pytest.approx(np.mean([spearmanr(t, p)[0] for t, p in columns]))


def test_the_segmenters_iou_is_over_all_known_pixels(results: Results) -> None:
    maps = [(sample.label_map, sample.image[:CLASSES].argmax(0)) for sample in Planted()]
    known = [(true[true != IGNORE], guess[true != IGNORE]) for true, guess in maps if true is not None]
    true, predicted = (torch.cat(parts).numpy() for parts in zip(*known, strict=True))
    iou = jaccard_score(true, predicted, labels=[0, 1, 2], average=None)
    assert [results.segmenter_quality[name] for name in "abc"] == pytest.approx(list(iou))
    assert math.isnan(results.segmenter_quality["d"]) and results.mean_quality == pytest.approx(iou.mean())


def test_parts_that_do_not_apply_are_none(results: Results) -> None:
    first, second = results.detectors
    assert (first.name, second.name) == ("first", "second")
    assert (first.anomaly, first.quality) == ({}, None)
    assert (second.error_pooled, second.error_per_image) == (None, None)
    assert results.images == COUNT and results.settings == {"seed": "3"}


def blending(image: Tensor, prediction: Prediction) -> Detection:
    """Judge everything; raw error map and error map differ."""
    whole = ReadingDetector(True)(image, prediction)
    return replace(whole, raw_error_map=image[:, CLASSES], error_map=-image[:, CLASSES + 1])


def test_a_verdict_has_a_row_of_its_own_with_error_scores_only(results: Results) -> None:
    detectors: dict[str, Detector] = {
        "plain": ReadingDetector(False),
        "learned": blending,
        "late": ReadingDetector(True),
    }
    judged = judge(detectors, Reading(), Planted(), runtime=CPU)
    plain, raw, learned, late = judged.detectors
    assert [found.row for found in judged.detectors] == [
        Row("plain"),
        Row("learned", raw=True),
        *map(Row, ("learned", "late")),
    ]
    first, second = results.detectors
    assert replace(raw, row=first.row) == replace(plain, row=first.row) == first  # quality and anomaly are None
    assert replace(learned, error_pooled=None, error_per_image=None) == replace(second, row=learned.row)
    assert late == replace(second, row=late.row)
    assert numbers(learned.error_pooled) != numbers(raw.error_pooled)
    assert judged.class_quality == results.class_quality


def test_without_masks_there_are_no_anomaly_scores() -> None:
    class Unmasked(Planted):
        def __getitem__(self, index: int) -> Sample:
            return replace(super().__getitem__(index), anomaly_mask=None)

    second = evaluated(Unmasked()).detectors[1]
    assert second.anomaly == {} and second.quality is not None


@pytest.mark.parametrize(
    ("row", "shown"), [(Row("a"), "a"), (Row("a", raw=True), "a-raw"), (Row("a", raw=True, seed=2), "a, head 2-raw")]
)
def test_a_row_is_shown_by_its_name(row: Row, shown: str) -> None:
    assert str(row) == shown


def test_every_image_is_shown_once_with_all_that_is_known_of_it() -> None:
    calls: list[tuple[int, int]] = []
    shown: list[Judged] = []
    detectors: dict[Row, Detector] = {Row("again", seed=2): blending}
    progress = lambda *call: calls.append(call)  # noqa: E731
    judge(detectors, Reading(), Planted(), runtime=CPU, side=4, progress=progress, watch=shown.append)
    assert calls == [(number, COUNT) for number in range(1, COUNT + 1)]
    for index, (judged, original) in enumerate(zip(shown, Planted(), strict=True)):
        small = resized(original, 4)
        assert judged.index == index and judged.original.id == judged.sample.id == original.id
        assert judged.prediction.logits.shape[2:] == SIZE and judged.sample.image.equal(small.image)
        assert list(judged.detections) == [Row("again", raw=True, seed=2), Row("again", seed=2)]
        assert judged.truth is not None and small.label_map is not None
        assert judged.truth.error.equal(judged.label_map != small.label_map)
        assert judged.truth.known.equal(small.label_map != IGNORE)


class PlantedVolumes(Dataset):
    """Volumes whose channels are the logits of M; class 0 is the background."""

    def __init__(self) -> None:
        self.classes = Classes(tuple("abc"), ((0, 0, 0),) * 3, background=0)
        self.ids = [f"volume{index}" for index in range(COUNT)]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        label_map = torch.randint(2 if index == 1 else 3, (4, 5, 6), generator=generator)
        logits = torch.randn(3, 4, 5, 6, generator=generator)
        return Sample(self.ids[index], logits.scatter_add(0, label_map[None], torch.ones(1, 4, 5, 6)), label_map)


class FirstVoxel:
    """Predicts the quality from the logits of the first voxel."""

    def __call__(self, image: Tensor, prediction: Prediction) -> Detection:
        return Detection(error_map=image[:, 0], class_quality=image[:, :, 0, 0, 0].sigmoid())


def test_volumes_are_judged_by_dice_and_their_background_by_nothing() -> None:
    dataset = PlantedVolumes()

    class Logits(Segmenter):
        def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
            return image, [image]

    segmenter = Logits(3, (0.0,), (1.0,)).eval()
    results = judge({"first": FirstVoxel()}, segmenter, dataset, runtime=CPU)
    true = np.array([[_dice(sample, label) for label in range(3)] for sample in dataset])
    predicted = np.array([sample.image[:, 0, 0, 0].sigmoid().tolist() for sample in dataset])
    assert results.measure == "Dice" and true[1, 2] == 0.0  # predicted though it is not there
    assert list(results.segmenter_quality.values()) == pytest.approx(true.mean(axis=0))
    assert results.mean_quality == pytest.approx(true[:, 1:].mean())
    assert list(results.class_quality) == ["b", "c"]
    np.testing.assert_allclose(results.class_quality["c"], np.stack([true[:, 2], predicted[:, 2]], axis=1), rtol=1e-6)
    found = results.detectors[0].quality
    assert found is not None and found.classes == 2
    assert found.mae == pytest.approx(np.abs(true - predicted)[:, 1:].mean())


def _dice(sample: Sample, label: int) -> float:
    assert sample.label_map is not None
    return float(f1_score(sample.label_map.flatten() == label, sample.image.argmax(0).flatten() == label))


@pytest.mark.parametrize("part", ["error_map", "anomaly_map", "raw_error_map"])
def test_a_score_that_is_no_number_is_refused_by_the_name_of_its_detector(
    fails: Callable[..., AbstractContextManager[None]], part: str
) -> None:
    def broken(image: Tensor, prediction: Prediction) -> Detection:
        scores = image[:, 0] / image[:, 0].abs().amax()
        return Detection(**{"error_map": scores, part: scores.where(scores < 0, torch.nan)})

    with fails("mine gave", "NaN or infinite", error=DataError):
        judge({"mine": broken}, Reading(), Planted(), runtime=CPU)


def test_a_structure_that_no_volume_holds_is_in_no_mean() -> None:
    class Known(PlantedVolumes):
        """Of four classes, the last of which is neither there nor predicted."""

        def __init__(self) -> None:
            super().__init__()
            names, colors = (*self.classes.names, "never"), (*self.classes.colors, (7, 7, 7))
            self.classes = replace(self.classes, names=names, colors=colors)

        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return replace(sample, image=torch.cat([sample.image, torch.full_like(sample.image[:1], -9)]))

    class Logits(Segmenter):
        def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
            return image, [image]

    results = judge({}, Logits(3, (0.0,), (1.0,)).eval(), Known(), runtime=CPU)
    without = judge({}, Logits(3, (0.0,), (1.0,)).eval(), PlantedVolumes(), runtime=CPU)
    assert results.absent == ("never",) and results.mean_quality == pytest.approx(without.mean_quality)
