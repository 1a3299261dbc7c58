"""How much do two label maps overlap? Confusion matrix, IoU and Dice per class; any number of spatial axes."""

from __future__ import annotations

import torch
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.records import Measure


def confusion_matrix(label_map: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Pixels per (true class, predicted class), shape (L, L), int64; matrices of several images add up.

    Args:
        label_map: shape (*S), int64; pixels with the ignore index are left out, whatever is predicted there.
        prediction: shape (*S), int64.
        classes: L.
        ignore_index: Label of the pixels without a class.

    Raises:
        InputError: A judged pixel has a label or a prediction outside [0, L).
        ShapeError: The shapes differ.
    """
    if label_map.shape != prediction.shape:
        shapes = f"label map {tuple(label_map.shape)} and prediction {tuple(prediction.shape)}"
        raise ShapeError(f"{shapes} differ in shape; resize one with nearest-neighbour sampling")
    judged = label_map != ignore_index
    true, predicted = label_map[judged].long(), prediction[judged].long()
    _check_classes("label map", true, classes, ignore_index)
    _check_classes("prediction", predicted, classes, ignore_index)
    pairs = true * classes + predicted
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def intersection_over_union(confusion: Tensor) -> Tensor:
    """IoU per class from (L, L) pixel counts, shape (L,), float64, NaN where the union is empty."""
    intersection = confusion.diagonal().double()
    return intersection / (confusion.sum(0) + confusion.sum(1) - intersection)


def dice(confusion: Tensor) -> Tensor:
    """Dice coefficient per class from (L, L) pixel counts, shape (L,), float64, NaN where both sets are empty."""
    return 2 * confusion.diagonal().double() / (confusion.sum(0) + confusion.sum(1))


def mean_iou(confusion: Tensor) -> float:
    """Mean IoU over the classes with a union that is not empty; NaN when there is none."""
    return float(intersection_over_union(confusion).nanmean())


def image_iou(label_map: Tensor, predicted: Tensor, classes: int, ignore_index: int) -> Tensor:
    """True class quality of one image (eq. 6): IoU per class, shape (L,), float64.

    NaN for every class absent from the label map. So a class that is predicted but absent is not judged, as in the
    authors' evaluation. Ignored pixels leave both sets. Arguments and errors as in `confusion_matrix`.
    """
    confusion = confusion_matrix(label_map, predicted, classes, ignore_index)
    present = confusion.sum(1) > 0
    return intersection_over_union(confusion).where(present, torch.nan)


def image_dice(label_map: Tensor, predicted: Tensor, classes: int, ignore_index: int) -> Tensor:
    """True class quality of one volume: Dice per class, shape (L,), float64; NaN where no voxel has a class.

    A class that neither the label map nor the prediction holds was found to be absent, rightly: 1. One that only one of
    them holds: 0. Ignored voxels leave both sets. Arguments and errors as in `confusion_matrix`.
    """
    confusion = confusion_matrix(label_map, predicted, classes, ignore_index)
    return dice(confusion).nan_to_num(1.0) if confusion.any() else dice(confusion)


def image_quality(measure: Measure, label_map: Tensor, predicted: Tensor, classes: int, ignore_index: int) -> Tensor:
    """True quality of every class, shape (L,), float64: `image_iou` or `image_dice`, as the measure says."""
    judge = image_dice if measure == "Dice" else image_iou
    return judge(label_map, predicted, classes, ignore_index)


def _check_classes(name: str, labels: Tensor, classes: int, ignore_index: int) -> None:
    strange = labels[(labels < 0) | (labels >= classes)]
    if strange.numel():
        rule = f"it must be in [0, {classes}), or ignored ({ignore_index}) in the label map"
        raise InputError(f"{name} holds the value {int(strange[0])}; {rule}; map it to a class first")
