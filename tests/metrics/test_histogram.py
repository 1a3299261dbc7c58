from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from synthcp.metrics.histogram import ScoreHistogram, common_counts, ordered_keys, scores_of_keys


def histogram(*parts: NDArray[np.float32]) -> ScoreHistogram:
    result = ScoreHistogram()
    for part in parts:
        result.add(part)
    return result


def random_floats(count: int, seed: int) -> NDArray[np.float32]:
    """Random bit patterns: all exponents and both signs."""
    bits = np.random.default_rng(seed).integers(0, 1 << 32, count, dtype=np.uint32)
    scores = bits.view(np.float32)
    return scores[~np.isnan(scores)]


def test_keys_have_the_order_of_the_scores() -> None:
    specials = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 200.0, -200.0], np.float32)
    scores = np.sort(np.concatenate([specials, random_floats(5_000, seed=0)]))
    keys = ordered_keys(scores).astype(np.int64)
    assert np.array_equal(np.sign(np.diff(keys)), (scores[1:] > scores[:-1]).astype(np.int64))


def test_few_distinct_scores_are_counted_exactly() -> None:
    scores = np.round(np.random.default_rng(1).standard_normal(4_000), 1).astype(np.float32) + np.float32(200)
    bins = histogram(scores[:1_500], scores[1_500:]).bins()
    assert np.array_equal(bins.counts, np.unique(scores, return_counts=True)[1])
    assert not bins.dropped.any()


def test_both_limits_hold_and_no_score_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthcp.metrics.histogram.MAX_BINS", 2_048)
    monkeypatch.setattr("synthcp.metrics.histogram._BUFFER", 1_000)
    scores = np.concatenate([random_floats(4_000, seed=2), np.linspace(1, 2, 6_000, dtype=np.float32)])
    bins = histogram(*np.array_split(scores, 9)).bins()
    assert bins.counts.sum() == len(scores)
    assert len(bins.keys) <= 2_048
    # Room is the largest power of two that fits; the crowded octave drops bits, the empty ones keep theirs.
    one = ordered_keys(np.ones(1, np.float32))[0] >> np.uint32(23)
    assert np.bincount(bins.keys >> np.uint32(23)).max() <= bins.room
    assert bins.dropped[one] == bins.dropped.max() > 0
    keys = ordered_keys(scores)
    masks = np.uint32(0xFFFFFFFF) << bins.dropped
    expected = np.unique(keys & masks[keys >> np.uint32(23)], return_counts=True)
    assert np.array_equal(bins.keys, expected[0])
    assert np.array_equal(bins.counts, expected[1])


def test_an_outlier_does_not_coarsen_a_narrow_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthcp.metrics.histogram.MAX_BINS", 40_000)
    near = (200 + np.arange(30_000) / 65_536).astype(np.float32)  # all floats in [200, 200.45]
    scattered = random_floats(500, seed=3)
    bins = histogram(near, scattered).bins()
    assert len(bins.keys) == len(np.unique(np.concatenate([near, scattered])))


def test_the_histogram_depends_on_the_scores_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthcp.metrics.histogram.MAX_BINS", 1_024)
    parts = [random_floats(3_000, seed=4), np.linspace(-2, 3, 5_000, dtype=np.float32), np.ones(10, np.float32)]
    whole = histogram(np.concatenate(parts)).bins()
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        merged = histogram()
        for index in order:
            merged.merge(histogram(*np.array_split(parts[index], 4)))
        bins = merged.bins()
        assert np.array_equal(bins.keys, whole.keys)
        assert np.array_equal(bins.counts, whole.counts)
        assert np.array_equal(bins.dropped, whole.dropped)
        assert bins.room == whole.room


def test_common_counts_are_aligned_in_increasing_order() -> None:
    first = histogram(np.array([3, 1, 1, -2], np.float32)).bins()
    second = histogram(np.array([1, 5, 0], np.float32)).bins()
    keys, *counts = common_counts(first, second)
    assert scores_of_keys(keys).tolist() == [-2, 0, 1, 3, 5]
    assert [row.tolist() for row in counts] == [[1, 0, 2, 1, 0], [0, 1, 1, 0, 1]]


def test_keys_lead_back_to_their_scores() -> None:
    scores = np.float32([-np.inf, -1e30, -2.5, -1e-40, 0.0, 1e-40, 0.3, 7.0, np.inf])
    assert scores_of_keys(ordered_keys(scores)).tolist() == scores.tolist()
