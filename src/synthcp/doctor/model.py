"""A model M that somebody brings: does it say what a monitor needs, and is it right more often than by chance?"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.subset import spread
from synthcp.data.working_size import require_whole
from synthcp.doctor.base import Finding, Scope
from synthcp.errors import SynthCPError
from synthcp.metrics.overlap import confusion_matrix, mean_iou
from synthcp.records import Classes, Prediction
from synthcp.segmentation.adapters import AdaptedSegmenter
from synthcp.segmentation.base import Predictor, Segmenter, at_size
from synthcp.segmentation.loaded import IMAGENET_MEAN, IMAGENET_STD
from synthcp.segmentation.output import IN_WORDS
from synthcp.segmentation.specs import open_model
from synthcp.system.runtime import Runtime, choose_runtime

IMAGES = 8
"""Number of images that the model is tried on."""
NEAR_CHANCE = 0.1
"""Share of the way from chance to perfection below which a model might as well guess."""
FED = 3
"""Number of images on which each way of feeding is tried."""
Feed = tuple[tuple[float, ...], tuple[float, ...]]
FEEDS: dict[str, Feed] = {
    "mean=0&std=1": ((0.0,), (1.0,)),
    "mean=0&std=0.00392157": ((0.0,), (1 / 255,)),
    "mean=0.5&std=0.5": ((0.5,), (0.5,)),
    "mean=0.485,0.456,0.406&std=0.229,0.224,0.225": (IMAGENET_MEAN, IMAGENET_STD),
}
"""What models are usually fed, as the options of a SPEC: [0, 1], 0 to 255, [-1, 1], and normalised as for ImageNet."""


@dataclass(frozen=True)
class Tried:
    """What a model said of some images.

    Attributes:
        prediction: For the first image.
        confusion: Pixels per true and predicted class over all labelled images, shape (L, L).
        labelled: Number of these images.
        seconds: Of the fastest image.
    """

    prediction: Prediction
    confusion: Tensor
    labelled: int
    seconds: float


def check_model(scope: Scope) -> Iterator[Finding]:
    """Open a model, and try it on some images of a data set."""
    dataset = scope.dataset
    require_whole(dataset[0])
    predictor, settings = open_model(scope.model, dataset.classes, dataset[0].image[None], scope.features)
    kind = "a live network" if isinstance(predictor, Segmenter) else "predictions on disk"
    yield Finding("model", "good", f"{settings.spec}: {kind}")
    runtime = choose_runtime(scope.device, "fp32")
    tried = try_model(predictor, dataset, runtime)
    if settings.output != "logits":
        yield Finding("output", "note", f"it returns {IN_WORDS[settings.output]}, read as logits")
    yield _class_count(tried.prediction.logits, dataset.classes)
    yield _logits(tried.prediction.logits.float())
    yield _features(tried.prediction, settings.features)
    if tried.confusion.sum():
        yield _quality(tried, dataset.classes)
    if isinstance(predictor, AdaptedSegmenter):
        yield _feeding(predictor, dataset, runtime)
    yield Finding("speed", "good", f"{tried.seconds:.3f} s per image")


@torch.no_grad()
def try_model(predictor: Predictor, dataset: Dataset, runtime: Runtime, images: int = IMAGES) -> Tried:
    """Let a model predict a few images, spread over a data set; raises DataError when one is too long."""
    if isinstance(predictor, Segmenter):
        runtime.place(predictor).eval()
    count, ignored = len(dataset.classes), dataset.classes.ignore_index
    predictions, confusions, seconds = list[Prediction](), [torch.zeros(count, count, dtype=torch.int64)], []
    for sample in spread(dataset, images):
        require_whole(sample)
        image = runtime.send(sample.image[None])
        start = time.perf_counter()
        prediction = predictor.predict(sample.id, image)
        prediction.label_map.cpu()  # waits for the device
        seconds.append(time.perf_counter() - start)
        predictions = predictions or [prediction]
        if sample.label_map is not None and prediction.logits.shape[1] == count:
            predicted = at_size(prediction, sample.label_map.shape).label_map[0].cpu()
            confusions.append(confusion_matrix(sample.label_map, predicted, count, ignored))
    return Tried(predictions[0], torch.stack(confusions).sum(0), len(confusions) - 1, min(seconds))


def _class_count(logits: Tensor, classes: Classes) -> Finding:
    came = logits.shape[1]
    if came == len(classes):
        return Finding("class count", "good", f"{came}, as the data")
    line = f"the model tells {came} classes, the data {len(classes)}"
    return Finding("class count", "bad", line, "train it on these classes, or choose channels of its output")


def _logits(logits: Tensor) -> Finding:
    strange = float((~logits.isfinite()).float().mean())
    if strange:
        line = f"{strange:.2%} are NaN or infinite"
        return Finding("logits", "bad", line, "check the weights, mean and std; run the model in fp32")
    low, high, total = float(logits.min()), float(logits.max()), logits.sum(dim=1)
    if low == high:
        return Finding("logits", "bad", f"all are {low:g}", "are the weights loaded?")
    if low >= 0 and high <= 1 and torch.allclose(total, torch.ones_like(total), atol=1e-2):
        line = "these are probabilities (in [0, 1], sum 1); a second softmax would blur them"
        return Finding("logits", "bad", line, "return what goes into the softmax, or the logarithm")
    return Finding("logits", "good", f"{low:.2f} to {high:.2f}")


def _features(prediction: Prediction, module: str) -> Finding:
    if prediction.features is None:
        return Finding("features", "note", "none: a monitor of this model has no anomaly map", "give a live model")
    shape = "x".join(map(str, prediction.features.shape[1:]))
    layers = f"{len(prediction.layers)} layer{'s' if len(prediction.layers) > 1 else ''}"
    told = f", f_M is the input of {module}" if module else ""
    return Finding("features", "good", f"{layers}, the last {shape}{told}")


def _quality(tried: Tried, classes: Classes) -> Finding:
    reached, chance = mean_iou(tried.confusion), chance_iou(tried.confusion)
    line = f"{reached:.1%} on {tried.labelled} images; blind guesses would reach {chance:.1%}"
    order, reordered = best_order(tried.confusion)
    if above_chance(reordered, chance) > above_chance(reached, chance) + NEAR_CHANCE:
        moved = [f"{classes.names[label]} is its {channel}" for channel, label in enumerate(order) if channel != label]
        remedy = f"reorder its classes: {', '.join(moved)}"
        return Finding("mIoU", "bad", f"{line}, other class order {reordered:.1%}", remedy)
    if above_chance(reached, chance) < NEAR_CHANCE:
        remedy = "check mean and std, the order of the colours (RGB), the size it sees, and the order of the classes"
        return Finding("mIoU", "bad", f"{line}; this is near chance", remedy)
    return Finding("mIoU", "good", line)


def _feeding(segmenter: AdaptedSegmenter, dataset: Dataset, runtime: Runtime) -> Finding:
    """Whether a model is right more often when it is fed otherwise: in other ranges, or by another mean and std."""
    told = "images in [0, 1], less mean, by std"
    reached = {name: _reached(segmenter, dataset, runtime, feed) for name, feed in FEEDS.items()}
    now = _reached(segmenter, dataset, runtime, None)
    if math.isnan(now):
        return Finding("feeding", "note", f"{told}; without labels nobody can tell whether it wants others")
    best = max(reached, key=lambda name: -1.0 if math.isnan(reached[name]) else reached[name])
    if reached[best] > now + NEAR_CHANCE:
        line = f"mIoU {now:.1%} on {FED} images as it is fed, {reached[best]:.1%} with {best}"
        return Finding("feeding", "bad", line, f"add ?{best} to its SPEC")
    return Finding("feeding", "good", f"{told}; no other usual range or normalisation is better")


def _reached(segmenter: AdaptedSegmenter, dataset: Dataset, runtime: Runtime, feed: Feed | None) -> float:
    """Mean IoU with images of another mean and std; NaN where it cannot be told."""
    mean, std = segmenter.mean, segmenter.std
    if feed is not None and len(feed[0]) in (1, len(dataset[0].image)):
        shape = (1, -1, *[1] * (mean.ndim - 2))
        segmenter.mean, segmenter.std = (torch.tensor(part).view(shape).to(mean) for part in feed)
    try:
        confusion = try_model(segmenter, dataset, runtime, FED).confusion
        return mean_iou(confusion) if confusion.sum() else math.nan
    except SynthCPError:  # it refuses to be fed so
        return math.nan
    finally:
        segmenter.mean, segmenter.std = mean, std


def above_chance(value: float, chance: float) -> float:
    """Share of the way from chance to perfection, 1 where chance is perfect; as Cohen's kappa does for accuracy."""
    return (value - chance) / (1 - chance) if chance < 1 else 1.0


def chance_iou(confusion: Tensor) -> float:
    """Mean IoU of guesses as frequent per class as the predictions, but blind to the image; confusion as in Tried."""
    pixels = confusion.double()
    true, predicted = pixels.sum(1) / pixels.sum(), pixels.sum(0) / pixels.sum()
    both = true * predicted
    return float((both / (true + predicted - both)).nanmean())


def best_order(confusion: Tensor) -> tuple[Sequence[int], float]:
    """Find the order of the model's classes that fits the labels best; confusion as in Tried.

    Returns:
        The class of the data for each channel of the model, and the mean IoU in this order.
    """
    pixels = confusion.double()
    overlap = pixels / (pixels.sum(1, keepdim=True) + pixels.sum(0, keepdim=True) - pixels)
    labels, channels = linear_sum_assignment(-overlap.nan_to_num(0.0).numpy())
    reordered = confusion[:, torch.as_tensor(channels)]  # channel of label 0 first
    return [int(label) for _, label in sorted(zip(channels, labels, strict=True))], mean_iou(reordered)
