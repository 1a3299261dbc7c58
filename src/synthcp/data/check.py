"""The check of a labelled data set before the first training step: bad labels cost seconds here, hours later."""

from __future__ import annotations

import torch
from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.errors import DataError
from synthcp.records import Classes, Sample

TOLERANCE = 1e-4
"""By which a value of an image may lie outside [0, 1]: resizing leaves as much."""


def check_labels(dataset: Dataset) -> tuple[str, ...]:
    """Read every sample once and check its label map.

    Returns:
        The names of the classes that never occur, of which nothing can be learnt or told.

    Raises:
        DataError: A file cannot be read, a label is missing or has another size than its image, a label value is no
            class, an image lies outside [0, 1] or has another number of channels, no pixel of the whole data set has a
            class, or all have the first one of two or 255, which then may well be the second.
    """
    classes, channels = dataset.classes, len(dataset[0].image)
    pixels, ignored = torch.zeros(len(classes), dtype=torch.int64), 0
    for sample in dataset:
        check_range(sample)
        label_map = check_sample(sample, classes, channels)
        known = label_map[label_map != classes.ignore_index]
        pixels += torch.bincount(known, minlength=len(classes))
        ignored += label_map.numel() - known.numel()
    if ignored and classes.ignore_index == 255 and len(classes) == 2 and pixels[0] and not pixels[1]:
        raise _ambiguous(dataset)
    if not pixels.any():
        raise DataError(
            f"every pixel of all {len(dataset)} label maps ({dataset.ids[0]} and on) is the ignore value "
            f'{dataset.classes.ignore_index}; nothing can be learnt; correct "ignore_index" in classes.json'
        )
    return tuple(name for name, count in zip(classes.names, pixels.tolist(), strict=True) if not count)


def _ambiguous(dataset: Dataset) -> DataError:
    name = dataset.classes.names[1]
    return DataError(
        f"the {len(dataset)} label maps ({dataset.ids[0]} and on) hold 0 and 255 alone, and 255 is no class; if it is "
        f'{name!r}, write 1 in its place, or in classes.json "values": [0, 255] and "ignore_index": null; if not, add '
        f"an image that shows {name!r}"
    )


def check_sample(sample: Sample, classes: Classes, channels: int) -> Tensor:
    """Check one sample and return its label map.

    Args:
        sample: Of the data set.
        classes: Of the data set.
        channels: Of its first image.

    Raises:
        DataError: As check_labels, of this sample alone.
    """
    label_map = _label_map(sample)
    _check_shapes(sample, label_map, channels)
    _check_values(sample.id, label_map, classes)
    return label_map


def _label_map(sample: Sample) -> Tensor:
    if sample.label_map is None:
        raise DataError(f"{sample.id} has no label map; every image needs one here; add it under labels/")
    return sample.label_map


def check_range(sample: Sample) -> None:
    """Raise DataError when a value of an image lies outside [0, 1] or is NaN."""
    low, high = (float(value) for value in torch.aminmax(sample.image))
    if not (-TOLERANCE <= low and high <= 1 + TOLERANCE):  # neither is NaN
        raise DataError(
            f"{sample.id}: the image has values from {low:.4g} to {high:.4g}; they must be in [0, 1], without NaN; "
            "divide by 255, or leave out the normalisation"
        )


def _check_shapes(sample: Sample, label_map: Tensor, channels: int) -> None:
    size, label_size = tuple(sample.image.shape[1:]), tuple(label_map.shape)
    if size != label_size:
        raise DataError(f"{sample.id}: the image is {size}, its label map {label_size}; they must match; resize one")
    if len(sample.image) != channels:
        raise DataError(
            f"{sample.id}: the image has {len(sample.image)} channels, the first of the data set {channels}; "
            "all must have the same; convert one kind to the other"
        )


def _check_values(sample_id: str, label_map: Tensor, classes: Classes) -> None:
    known = ((label_map >= 0) & (label_map < len(classes))) | (label_map == classes.ignore_index)
    if known.all():
        return
    strays = torch.unique(label_map[~known]).tolist()
    shown = ", ".join(map(str, strays[:5])) + (" and more" if len(strays) > 5 else "")
    raise DataError(
        f"label {shown} in {sample_id}: classes are 0..{len(classes) - 1} and the ignore value is "
        f"{classes.ignore_index}; {_remedy(strays, classes)}"
    )


def _remedy(strays: list[int], classes: Classes) -> str:
    count, ignore_index = len(classes), classes.ignore_index
    if strays == [255]:
        return '255 looks like the ignore value: set "ignore_index": 255 in classes.json'
    if strays == [count]:
        return (
            f'if {count} is the ignore value, set "ignore_index": {count} in classes.json; if 0 is, and classes count '
            f"from 1, subtract 1 from every label and write 0 as {ignore_index}"
        )
    return "fix the label or set ignore_index in classes.json"
