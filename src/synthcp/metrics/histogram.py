"""A histogram of float32 scores of any range, in bounded memory, the same whatever the order of its parts.

A score is filed by its order-preserving integer image, so that equal scores share a bin and nothing else does. When
that takes too many bins, octaves (the 512 pairs of sign and exponent) that use the most of them drop low bits: no
octave may use more than `room` bins, and `room` is the largest power of two for which all octaves fit in MAX_BINS.
More scores only ever lower it; so the histogram is a function of the set of scores alone, and merging is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_BINS = 1 << 20
_BUFFER = 1 << 20
_MANTISSA_BITS = 23
_OCTAVES = np.arange(512, dtype=np.uint32) << np.uint32(_MANTISSA_BITS)  # the lowest key of each


@dataclass(frozen=True)
class Bins:
    """Bins in use, in increasing order of score.

    Attributes:
        keys: shape (bins,), uint32, integer images of the scores with the dropped bits set to 0.
        counts: shape (bins,), int64, how many scores each bin holds.
        dropped: shape (512,), uint32, how many low bits the keys of each octave lost.
        room: How many bins one octave may use.
    """

    keys: NDArray[np.uint32]
    counts: NDArray[np.int64]
    dropped: NDArray[np.uint32]
    room: int


class ScoreHistogram:
    """Counts of float32 scores in at most MAX_BINS bins; equal for equal sets of scores."""

    def __init__(self) -> None:
        self._bins = Bins(np.empty(0, np.uint32), np.empty(0, np.int64), np.zeros(512, np.uint32), MAX_BINS)
        self._pending: list[NDArray[np.uint32]] = []

    def add(self, scores: NDArray[np.float32]) -> None:
        """File scores, shape (N,), none of them NaN."""
        self._pending.append(ordered_keys(scores))
        if sum(map(len, self._pending)) >= _BUFFER:
            self._bins, self._pending = self.bins(), []

    def merge(self, other: ScoreHistogram) -> None:
        """File all the scores of another histogram."""
        self._bins, self._pending = _merge(self.bins(), other.bins()), []

    def bins(self) -> Bins:
        """All scores so far."""
        if not self._pending:
            return self._bins
        keys = _truncate(np.concatenate(self._pending), self._bins.dropped)
        keys.sort()
        starts = _run_starts(keys)
        counts = np.diff(starts, append=len(keys))
        return _merge(self._bins, Bins(keys[starts], counts, self._bins.dropped, self._bins.room))


def common_counts(first: Bins, second: Bins) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Keys of the union of their bins, in increasing order of score, and the counts of both, shape (bins,) each."""
    dropped = np.maximum(first.dropped, second.dropped)
    first, second = _coarsen(first, dropped, first.room), _coarsen(second, dropped, second.room)
    keys = np.sort(np.concatenate([first.keys, second.keys]), kind="stable")
    keys = keys[_run_starts(keys)]
    counts = np.zeros((2, len(keys)), np.int64)
    for row, bins in zip(counts, (first, second), strict=True):
        row[np.searchsorted(keys, bins.keys)] = bins.counts
    return keys, counts[0], counts[1]


def ordered_keys(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers in the order of the scores, equal where the scores are equal, shape (N,)."""
    # Adding 0 turns -0.0 into 0.0: they are equal, their bits are not.
    bits = (scores + np.float32(0)).view(np.uint32)
    # Bit patterns of positive floats grow with the float, those of negative floats shrink: flip the latter whole.
    sign = (bits.view(np.int32) >> 31).view(np.uint32)
    bits ^= sign | np.uint32(1 << 31)
    return bits


def scores_of_keys(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The scores that have these integers, the inverse of `ordered_keys`, shape (N,)."""
    negative = (keys >> np.uint32(31)) == 0
    return np.where(negative, ~keys, keys ^ np.uint32(1 << 31)).view(np.float32)


def _merge(first: Bins, second: Bins) -> Bins:
    dropped = np.maximum(first.dropped, second.dropped)
    keys = np.concatenate([_truncate(first.keys, dropped), _truncate(second.keys, dropped)])
    order = np.argsort(keys, kind="stable")  # fast, for it finds the two sorted runs
    counts = np.concatenate([first.counts, second.counts])[order]
    return _fit(_sum_runs(keys[order], counts, dropped, min(first.room, second.room)))


def _fit(bins: Bins) -> Bins:
    """The same scores in bins that keep the two limits, MAX_BINS in all and `room` in each octave."""
    used = np.diff(np.searchsorted(bins.keys, _OCTAVES), append=len(bins.keys))
    if used.sum() <= MAX_BINS and used.max() <= bins.room:
        return bins
    distinct = _distinct_keys(bins.keys)
    room = bins.room
    while (dropped := _bits_to_drop(distinct, bins.dropped, room)) is None:
        room //= 2
    return _coarsen(bins, dropped, room)


def _bits_to_drop(distinct: NDArray[np.int64], dropped: NDArray[np.uint32], room: int) -> NDArray[np.uint32] | None:
    """How many bits each octave has to drop to use at most `room` bins; None when all take more than MAX_BINS."""
    needed = np.maximum(dropped, np.argmax(distinct <= room, axis=1).astype(np.uint32))
    used = np.take_along_axis(distinct, needed[:, None].astype(np.int64), axis=1)
    return needed if used.sum() <= MAX_BINS else None


def _distinct_keys(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """How many bins each octave would use, had it dropped 0, 1, ... 23 bits; keys sorted; shape (512, 24)."""
    # Two neighbours stay apart until the highest bit in which they differ is dropped; the first of an octave always.
    highest = np.frexp((keys[1:] ^ keys[:-1]).astype(np.float64))[1]
    apart = np.minimum(np.append(_MANTISSA_BITS + 1, highest), _MANTISSA_BITS + 1)
    octaves = (keys >> np.uint32(_MANTISSA_BITS)).astype(np.int64)
    width = _MANTISSA_BITS + 2
    table = np.bincount(octaves * width + apart, minlength=len(_OCTAVES) * width).reshape(-1, width)
    return np.cumsum(table[:, :0:-1], axis=1)[:, ::-1]


def _coarsen(bins: Bins, dropped: NDArray[np.uint32], room: int) -> Bins:
    return _sum_runs(_truncate(bins.keys, dropped), bins.counts, dropped, room)


def _truncate(keys: NDArray[np.uint32], dropped: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Set the lowest `dropped[octave]` bits of each key to 0; order is kept."""
    masks = np.uint32(0xFFFFFFFF) << dropped
    truncated: NDArray[np.uint32] = keys & masks[keys >> np.uint32(_MANTISSA_BITS)]
    return truncated


def _sum_runs(keys: NDArray[np.uint32], counts: NDArray[np.int64], dropped: NDArray[np.uint32], room: int) -> Bins:
    starts = _run_starts(keys)
    return Bins(keys[starts], np.add.reduceat(counts, starts), dropped, room)


def _run_starts(keys: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Where sorted keys change, shape (distinct,)."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
