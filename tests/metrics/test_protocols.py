from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from synthcp.errors import ShapeError
from synthcp.metrics.components import ANOMALY_TRACK, OBSTACLE_TRACK, StreamingComponents
from synthcp.metrics.protocols import PROTOCOLS, AnomalyProtocol, AnomalyScores, ComponentProtocol
from synthcp.metrics.ranking import ranking_scores
from synthcp.metrics.spool import MapSpool

Fails = Callable[..., AbstractContextManager[None]]
Maps = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
POOLED = [name for name in PROTOCOLS if name != "caos"]


def image(seed: int, shape: tuple[int, ...] = (60, 83)) -> Maps:
    """Scores, blobs of anomalies, and judged pixels; NaN and infinity wait where nothing is judged."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 4)
    anomaly = smooth > np.quantile(smooth, 1 - rng.uniform(0.03, 0.3))
    judged = rng.random(shape) < rng.uniform(0.85, 0.99)
    scores = ndimage.gaussian_filter(rng.standard_normal(shape), 1) + rng.uniform(0.2, 0.6) * anomaly + 0.3 * seed
    scores[~judged] = rng.choice([np.nan, np.inf, -np.inf, 1e9], (~judged).sum())
    return scores.astype(np.float32), anomaly, judged


IMAGES = [image(seed) for seed in range(5)]


def without_anomaly(maps: Maps) -> Maps:
    return maps[0], np.zeros_like(maps[1]), maps[2]


def judge(name: str, images: list[Maps]) -> AnomalyProtocol:
    protocol = PROTOCOLS[name]()
    for maps in images:
        protocol.update(*maps)
    return protocol


def pooled_pixels(images: list[Maps]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    scores = np.concatenate([scores[judged] for scores, _, judged in images])
    return scores, np.concatenate([anomaly[judged] for _, anomaly, judged in images])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path


@pytest.mark.parametrize("name", POOLED)
def test_pooled_protocols_agree_with_scikit_learn(name: str) -> None:
    images = [*IMAGES, without_anomaly(image(7))]
    scores, anomaly = pooled_pixels(images)
    fpr, tpr, _ = roc_curve(anomaly, scores, drop_intermediate=False)
    total = sum(maps[0].size for maps in images)
    assert astuple(replace(judge(name, images).compute(), components=None)) == (
        pytest.approx(roc_auc_score(anomaly, scores)),
        pytest.approx(average_precision_score(anomaly, scores)),
        pytest.approx(fpr[np.argmax(tpr >= 0.95)]),
        pytest.approx(anomaly.mean()),
        pytest.approx(1 - len(scores) / total),
        len(scores),
        6,
        0,
        None,
    )


def test_caos_is_the_mean_over_images_with_anomalies_and_others() -> None:
    only_anomalies = IMAGES[0][0], np.ones_like(IMAGES[0][1]), IMAGES[0][2]
    nothing_judged = *IMAGES[1][:2], np.zeros_like(IMAGES[1][2])
    images = [*IMAGES, without_anomaly(IMAGES[2]), only_anomalies, nothing_judged]
    each = [pooled_pixels([maps]) for maps in IMAGES]
    result = judge("caos", images).compute()
    assert result.auroc == pytest.approx(np.mean([roc_auc_score(anomaly, scores) for scores, anomaly in each]))
    assert result.aupr == pytest.approx(np.mean([average_precision_score(anomaly, scores) for scores, anomaly in each]))
    nearest = [ranking_scores(scores, anomaly).fpr95_nearest for scores, anomaly in each]
    assert result.fpr95 == pytest.approx(np.mean(nearest))
    assert result.prevalence == pytest.approx(np.mean([anomaly.mean() for _, anomaly in each]))
    assert (result.pixels, result.images, result.skipped) == (sum(len(scores) for scores, _ in each), 5, 3)
    judged = sum(maps[2].sum() for maps in images)
    assert result.void_share == pytest.approx(1 - judged / (8 * 60 * 83))
    assert result.components is None


@pytest.mark.parametrize(("name", "track"), [("smiyc", ANOMALY_TRACK), ("smiyc-obstacle", OBSTACLE_TRACK)])
def test_components_are_cut_at_the_best_pooled_f1(name: str, track: object) -> None:
    precision, recall, thresholds = precision_recall_curve(*reversed(pooled_pixels(IMAGES)))
    best = thresholds[np.argmax(2 * precision * recall / (precision + recall))]
    components = StreamingComponents(float(best), track)
    for maps in IMAGES:
        components.update(*maps)
    result = judge(name, IMAGES).compute().components
    assert result == components.compute()
    assert result is not None and result.threshold == best and result.true_components > 0


def test_components_of_volumes_are_cut_too() -> None:
    volumes = [image(seed, (12, 20, 31)) for seed in range(2)]
    result = judge("smiyc-obstacle", volumes).compute().components
    assert result is not None and result.true_components > 0 and 0 < result.siou < 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_parts_in_any_order_give_the_same_as_the_whole(name: str) -> None:
    whole = judge(name, IMAGES).compute()
    first, second = judge(name, IMAGES[3:]), judge(name, IMAGES[:2])
    first.merge(second)
    first.update(*IMAGES[2])
    second.update(*without_anomaly(IMAGES[4]))  # no business of the first any more
    assert first.compute() == whole
    assert first.compute() == whole  # and computing changes nothing


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_not_judged_changes_nothing_but_the_void(name: str) -> None:
    void = (*IMAGES[3][:2], np.zeros_like(IMAGES[3][2]))
    before, after = judge(name, IMAGES[:3]).compute(), judge(name, [*IMAGES[:3], void]).compute()
    shared = {"void_share": 0, "images": 0, "skipped": 0}
    assert replace(before, **shared) == replace(after, **shared)
    assert after.void_share > before.void_share


@pytest.mark.parametrize("name", PROTOCOLS)
def test_tensors_are_judged_as_arrays_are(name: str) -> None:
    halves = [(np.where(maps[2], maps[0], np.nan).astype(np.float16), *maps[1:]) for maps in IMAGES]
    tensors = [tuple(torch.from_numpy(part) for part in maps) for maps in halves]
    assert judge(name, tensors).compute() == judge(name, halves).compute()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_unusable_maps_are_refused_and_leave_no_trace(name: str, fails: Fails) -> None:
    scores, anomaly, judged = IMAGES[0]
    protocol = judge(name, IMAGES)
    before = protocol.compute()
    with fails("(60, 83)", "(83, 60)", error=ShapeError):
        protocol.update(scores, anomaly.T, judged)
    with fails("(1, 60, 83)", error=ShapeError):
        protocol.update(scores, anomaly, judged[None])
    with fails(f"{np.isnan(scores).sum()} scores of judged pixels are NaN"):
        protocol.update(scores, anomaly, np.ones_like(judged))
    with fails("anomaly is int64, not bool"):
        protocol.update(scores, anomaly.astype(np.int64), judged)
    with fails("judged is uint8, not bool"):
        protocol.update(scores, anomaly, judged.astype(np.uint8))
    with fails("scores are int64, not floats"):
        protocol.update(np.zeros(scores.shape, np.int64), anomaly, judged)
    assert protocol.compute() == before


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_data_set_without_scores_says_why(name: str, fails: Fails) -> None:
    scores, anomaly, judged = IMAGES[0]
    with fails("no judged pixel is anomalous", "images: 0", "AUPR is undefined"):
        judge(name, []).compute()
    with fails("no judged pixel is anomalous", "images: 2"):
        judge(name, [without_anomaly(IMAGES[0]), (scores, anomaly, judged & ~anomaly)]).compute()
    with fails("every judged pixel is anomalous", "images: 1", "FPR95 is undefined"):
        judge(name, [(scores, anomaly, judged & anomaly)]).compute()


def test_images_that_have_either_can_only_be_pooled(fails: Fails) -> None:
    scores, anomaly, judged = IMAGES[0]
    images = [(scores, anomaly, judged & anomaly), (scores, anomaly, judged & ~anomaly)]
    with fails("no image has both", "images: 2", "'pooled'"):
        judge("caos", images).compute()
    assert judge("pooled", images).compute().aupr == pytest.approx(judge("pooled", IMAGES[:1]).compute().aupr)


def test_maps_wait_on_disk_as_long_as_someone_needs_them(folder: Path) -> None:
    first, second = judge("smiyc", IMAGES[:2]), judge("smiyc", IMAGES[2:])
    expected = judge("smiyc", IMAGES).compute()
    gc.collect()
    assert len(list(folder.iterdir())) == 2
    assert len(list(folder.rglob("*.npz"))) == 5
    first.merge(second)
    del second
    gc.collect()
    assert first.compute() == expected
    del first
    gc.collect()
    assert list(folder.iterdir()) == []


def test_maps_come_back_as_they_were(folder: Path) -> None:
    spool = MapSpool()
    spool.add(*IMAGES[1])
    ((scores, anomaly, judged),) = spool
    assert np.array_equal(judged, IMAGES[1][2])
    assert np.array_equal(scores[judged], IMAGES[1][0][judged]) and np.isnan(scores[~judged]).all()
    assert np.array_equal(anomaly, IMAGES[1][1] & judged)


def test_a_temporary_folder_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with fails("missing", "TMPDIR", "5 bytes a pixel"):
        judge("smiyc", IMAGES[:1])


def test_conventions_say_what_sets_protocols_apart() -> None:
    conventions = {name: PROTOCOLS[name]().convention for name in PROTOCOLS}
    assert "nearest" in conventions["caos"] and "skipped" in conventions["caos"]
    assert conventions["fishyscapes"] == conventions["pooled"] != conventions["smiyc"]
    assert isinstance(PROTOCOLS["smiyc-obstacle"](), ComponentProtocol)


def test_protocols_are_not_comparable() -> None:
    """The same scores, shifted from image to image as exposure does, and images without an anomaly."""
    images = [*IMAGES, *(without_anomaly(image(seed)) for seed in (11, 12))]
    caos: AnomalyScores = judge("caos", images).compute()
    pooled: AnomalyScores = judge("pooled", images).compute()
    assert caos.aupr > pooled.aupr + 0.1
    assert caos.fpr95 < pooled.fpr95 - 0.05
    assert not math.isnan(caos.auroc)
