"""Very long images, judged in windows: each is an image of its own, and their maps are put together.

M, G and F see an image with its shorter side at their own size; the longer one, and with it memory, would be unbounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from synthcp.nn.spatial import resize
from synthcp.nn.tiling import starts
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Predictor, Segmenter, in_numbers

LONG = 8
"""Longest side over shortest of the windows, and of the longest image that is judged as a whole."""

Key = TypeVar("Key")
Detect = Callable[[Tensor, Prediction], dict[Key, Detection]]
_MAPS = ("error_map", "raw_error_map", "anomaly_map", "synthesis")


def is_long(size: Sequence[int]) -> bool:
    """Whether an image of size (H, W) is judged in windows; a volume never is."""
    return len(size) == 2 and max(size) > LONG * min(size)


def working_side(size: Sequence[int], side: int) -> int:
    """Return the shorter side at which an image of size S is judged, 0 for its own, if that of usual ones is `side`.

    Windows are enlarged one by one; a long image as a whole is not, so that its maps are no larger than itself.
    """
    return min(side, *size) if is_long(size) else side


@dataclass(frozen=True)
class LongWindow:
    """A part of a long image, in pixels along its longer side.

    Attributes:
        axis: The longer side, -2 or -1.
        whole: Length of that side.
        shown: Where the window begins, and just behind where it ends; neighbours overlap.
        counted: Likewise, of the part for which this window speaks: up to the middle of each overlap.
    """

    axis: int
    whole: int
    shown: tuple[int, int]
    counted: tuple[int, int]

    def cut(self, whole: Tensor) -> Tensor:
        """Return the window of an image or a map (B, K, *s) of the whole, of any size; at least one pixel."""
        length = whole.shape[self.axis]
        start, stop = self._at(self.shown, length)
        start = min(start, length - 1)
        return whole.narrow(self.axis, start, max(1, stop - start))

    def part(self, window: Tensor, size: Sequence[int]) -> Tensor:
        """Return what counts of a map of the window, shape (B, K, *s), if the map of the whole is of this size."""
        shown, counted = (self._at(span, size[self.axis]) for span in (self.shown, self.counted))
        extent = list(size)
        extent[self.axis] = shown[1] - shown[0]
        return resize(window, extent).narrow(self.axis, counted[0] - shown[0], counted[1] - counted[0])

    def _at(self, span: tuple[int, int], length: int) -> tuple[int, int]:
        """A span where the whole is of another length."""
        start, stop = (round(place * length / self.whole) for place in span)
        return start, stop


def windows_of(size: Sequence[int]) -> list[LongWindow]:
    """Return the windows of an image of size (H, W): LONG times as long as wide, with an overlap as long as wide."""
    axis, whole, wide = (-2 if size[0] > size[1] else -1), max(size), min(size)
    shown = [(start, min(start + LONG * wide, whole)) for start in starts(whole, LONG * wide, wide)]
    middles = [(before[1] + behind[0]) // 2 for before, behind in pairwise(shown)]
    counted = pairwise([0, *middles, whole])
    return [LongWindow(axis, whole, *spans) for spans in zip(shown, counted, strict=True)]


def predicted(predictor: Predictor, sample_id: str, image: Tensor) -> Prediction:
    """Return M's prediction of an image (1, C, *S), which a live M sees in windows if it is long.

    Then the logits are at most as large as the image, and there are no features, of which `judged` asks M again. What
    lies on disk is read as a whole.

    Raises:
        DataError: A logit or a feature is NaN or infinite, or there is no prediction on disk.
    """
    size = image.shape[2:]
    if not (is_long(size) and isinstance(predictor, Segmenter)):
        return in_numbers(predictor.predict(sample_id, image))
    parts: list[Tensor] = []
    windows = windows_of(size)
    for window in windows:
        shown = window.cut(image)
        logits = in_numbers(predictor.predict(sample_id, shown)).logits
        scales = [min(1.0, side / of) for side, of in zip(logits.shape[2:], shown.shape[2:], strict=True)]
        parts.append(window.part(logits, [round(side * scale) for side, scale in zip(size, scales, strict=True)]))
    return Prediction(torch.cat(parts, dim=windows[0].axis))


class WindowView(NamedTuple):
    """A window as an image of its own: x, shape (1, C, h, w), and M's prediction of it, at any size."""

    window: LongWindow
    image: Tensor
    prediction: Prediction


def views(image: Tensor, prediction: Prediction, predictor: Predictor) -> Iterator[WindowView]:
    """Show every window of a long image (1, C, H, W) with its part of the prediction, and what a live M sees in it."""
    for window in windows_of(image.shape[2:]):
        shown, logits = window.cut(image), window.cut(prediction.logits)
        if isinstance(predictor, Segmenter):
            seen = in_numbers(predictor.predict("", shown))
            yield WindowView(window, shown, Prediction(logits, seen.layers, seen.seen_size))
        else:
            yield WindowView(window, shown, Prediction(logits))


def judged(
    detect: Detect[Key], image: Tensor, prediction: Prediction, predictor: Predictor, size: Sequence[int]
) -> dict[Key, Detection]:
    """Judge a long image window by window.

    Each pixel of a map comes from the window in which it lies farther from the ends. The quality of a class is the mean
    of what is expected in the windows, weighted by the pixels that are predicted as this class in each; without such a
    pixel, all windows weigh the same. With TP + FP + FN in place of predicted pixels this would be the IoU that is
    expected in the whole image: sum(TP) / sum(TP + FP + FN).

    Args:
        detect: Judges a window (1, C, h, w), with M's prediction of it at any size; one Detection by key.
        image: x, shape (1, C, H, W).
        prediction: Of M for x, at any size.
        predictor: M.
        size: Of the maps of the whole.

    Returns:
        The detections of the whole image, by key.
    """
    parts, weights = list[dict[Key, Detection]](), list[Tensor]()
    for window, shown, said in views(image, prediction, predictor):
        parts.append({key: _part(found, window, size) for key, found in detect(shown, said).items()})
        weights.append(torch.bincount(said.label_map.flatten(), minlength=said.logits.shape[1]))
    axis, shares = windows_of(image.shape[2:])[0].axis, _shares(torch.stack(weights).double())
    return {key: _joined([part[key] for part in parts], axis, shares) for key in parts[0]}


def _part(detection: Detection, window: LongWindow, size: Sequence[int]) -> Detection:
    """What counts of a window's maps, so that no more than these is kept of it."""
    maps = {name: getattr(detection, name) for name in _MAPS}
    parts = {name: _of_window(window, part, size) for name, part in maps.items() if part is not None}
    return replace(detection, **parts)


def _of_window(window: LongWindow, part: Tensor, size: Sequence[int]) -> Tensor:
    """As LongWindow.part, also of a map without channels; a copy, for a part would keep the whole in memory."""
    if part.ndim == 4:
        return window.part(part, size).clone()
    return window.part(part[:, None], size)[:, 0].clone()


def _shares(pixels: Tensor) -> Tensor:
    """Weights of the windows in the quality of each class, shape (windows, L), from the pixels predicted as it."""
    pixels = pixels.where(pixels.sum(dim=0) > 0, 1.0)
    return pixels / pixels.sum(dim=0)


def _joined(parts: Sequence[Detection], axis: int, shares: Tensor) -> Detection:
    joined = {
        name: torch.cat([getattr(part, name) for part in parts], dim=axis)
        for name in _MAPS
        if getattr(parts[0], name) is not None
    }
    qualities = [part.class_quality for part in parts if part.class_quality is not None]
    if qualities:
        mean = (torch.cat(qualities).double() * shares.to(qualities[0].device)).sum(dim=0, keepdim=True)
        joined["class_quality"] = mean.to(qualities[0].dtype).clamp(0, 1)
    return Detection(**joined)
