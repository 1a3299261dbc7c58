"""A labelled data set: its images, labels, classes, groups, values and splits."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from synthcp.config.scales import SCALES
from synthcp.data.base import Dataset
from synthcp.data.check import check_sample
from synthcp.data.folder import SPLITS
from synthcp.data.specs import open_dataset, with_split
from synthcp.data.subset import Subset, spread
from synthcp.data.working_size import require_whole
from synthcp.doctor.base import Finding, Scope, trouble
from synthcp.errors import SynthCPError
from synthcp.records import Classes, Sample

LOOKED_AT, SECONDS = 200, 1.5
"""Images that are looked at, evenly spread, and seconds after which no more are, unless all are asked for."""
FEWEST = 20
"""Images that are looked at however long it takes."""
SHOWN = 5
"""Unusable images that are named one by one; the others are counted."""
FLAT = 0.01
"""Standard deviation of the values below which an image shows nothing."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one image that breaks no rule.

    Attributes:
        id: Of the image.
        shape: Of the image, (C, *S).
        group: Of the image.
        low: The lowest value.
        high: The highest value.
        oddity: What is odd about the values; empty when nothing is.
        pixels: Of each label; None without a label map.
    """

    id: str
    shape: tuple[int, ...]
    group: str
    low: float
    high: float
    oddity: str
    pixels: Counter[int] | None


def check_data(scope: Scope) -> Iterator[Finding]:
    """Check a data set for a fit."""
    dataset = scope.dataset
    few = dataset if scope.every_image else in_leaps(spread(dataset, LOOKED_AT))
    seen, unusable = look_at(few, math.inf if scope.every_image else SECONDS)
    count = len(seen) + len(unusable)
    looked = f"{len(dataset)} images" + (f", {count} of them looked at" if count < len(dataset) else "")
    yield _images(looked, seen, dataset.classes)
    yield from unusable[:SHOWN]
    if len(unusable) > SHOWN:
        line = f"{len(unusable) - SHOWN} more cannot be used either"
        yield Finding("other images", "bad", line, "mend the first ones, and look again")
    yield from _labels(seen, dataset.classes, everything=count == len(dataset))
    yield from _values(seen)
    yield _groups(len({one.group for one in seen}), SCALES[scope.scale].folds)
    yield from check_splits(scope.data)


def in_leaps(dataset: Dataset) -> Dataset:
    """Return a data set in an order of which every beginning is spread over the whole of it."""
    bits = (len(dataset) - 1).bit_length()
    mirrored = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(2**bits))
    return Subset(dataset, [index for index in mirrored if index < len(dataset)])


def look_at(dataset: Dataset, seconds: float = math.inf) -> tuple[list[Seen], list[Finding]]:
    """Read the images of a data set once, as many as there is time for; what is wrong with one becomes a finding."""
    seen, unusable, end = list[Seen](), list[Finding](), time.monotonic() + seconds
    for index, sample_id in enumerate(dataset.ids):
        if index >= FEWEST and time.monotonic() > end:
            break
        try:
            sample = dataset[index]
            seen.append(_seen(sample, dataset.classes, seen[0].shape[0] if seen else len(sample.image)))
        except (SynthCPError, OSError) as error:
            unusable.append(trouble(f"image {sample_id}", error))
    return seen, unusable


def _seen(sample: Sample, classes: Classes, channels: int) -> Seen:
    require_whole(sample)
    image, pixels = sample.image, None
    if sample.label_map is not None:
        labels, counts = torch.unique(check_sample(sample, classes, channels), return_counts=True)
        pixels = Counter(dict(zip(labels.tolist(), counts.tolist(), strict=True)))
    low, high = float(image.min()), float(image.max())
    return Seen(sample.id, tuple(image.shape), sample.group, low, high, _oddity(low, high, float(image.std())), pixels)


def _oddity(low: float, high: float, deviation: float) -> str:
    if not (low >= 0 and high <= 1):  # NaN is neither
        return "values outside [0, 1]"
    if high <= 1.5 / 255:
        return "no value above 1/255, as of a label map or an image divided by 255 twice,"
    return "nearly one value" if deviation < FLAT else ""


def _images(looked: str, seen: Sequence[Seen], classes: Classes) -> Finding:
    channels = "/".join(sorted({str(one.shape[0]) for one in seen})) or "no"
    sizes = ["x".join(map(str, size)) for size in sorted({one.shape[1:] for one in seen})]
    line = f"{looked}; {channels} channels; {len(classes)} classes"
    if len(sizes) < 2:
        return Finding("images", "good", f"{line}; size {''.join(sizes) or 'unknown'}")
    line = f"{line}; {len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
    return Finding("images", "note", line, "none needed: fit cuts windows of the shape of the first image")


def _labels(seen: Sequence[Seen], classes: Classes, everything: bool) -> Iterator[Finding]:
    bare = [one.id for one in seen if one.pixels is None]
    if bare:
        line = f"{_counted(len(bare), 'image')} without a label map, such as {bare[0]}"
        yield Finding("labels", "bad", line, "add label maps under labels/; a fit needs one for every image")
    counts = [one.pixels for one in seen if one.pixels is not None]
    pixels = sum(counts, Counter[int]())
    ignored, total = pixels.pop(classes.ignore_index, 0), pixels.total()
    for label, name in enumerate(classes.names if total else ()):
        images = sum(label in one for one in counts)
        if images:
            line = f"{pixels[label] / total:.2%} of the pixels, in {images} of {len(counts)} images"
            yield Finding(f"class {name}", "good", line)
        else:
            line = f"never occurs in {len(counts)} images; nothing can be learnt of it"
            remedy = "label it, or take it out of the classes" if everything else "look at all images with --all"
            yield Finding(f"class {name}", "note", line, remedy)
    if counts:
        yield _ignored(ignored / (ignored + total), classes.ignore_index)


def _ignored(share: float, value: int) -> Finding:
    line = f"{share:.2%} of the pixels have no class (value {value})"
    if share > 0.5:
        remedy = 'is "ignore_index" in classes.json right?'
        return Finding("ignored", "bad" if share == 1 else "note", line, remedy)
    return Finding("ignored", "good", line)


def _values(seen: Sequence[Seen]) -> Iterator[Finding]:
    oddities = Counter(one.oddity for one in seen if one.oddity)
    for oddity, count in oddities.items():
        first = next(one.id for one in seen if one.oddity == oddity)
        line = f"{oddity} in {count} of {len(seen)} images, such as {first}"
        remedy = "images are 0 to 255 in files, 0 to 1 as tensors; correct these"
        yield Finding("values", "bad" if 2 * count >= len(seen) else "note", line, remedy)
    if seen and not oddities:
        low, high = min(one.low for one in seen), max(one.high for one in seen)
        yield Finding("values", "good", f"{low:.2f} to {high:.2f}, none of the images flat")


def _groups(groups: int, folds: int) -> Finding:
    if groups >= folds:
        return Finding("groups", "good", f"{groups} groups of images, enough for {folds} folds of whole groups")
    line = f"{_counted(groups, 'group')}, too few for {folds} folds of whole groups"
    return Finding("groups", "note", line, "name images by sequence (folder or prefix), if they are of several")


def check_splits(spec: str) -> list[Finding]:
    """Open the usual splits of a data set, and look for images that are in two of them."""
    splits, findings = dict[str, Dataset](), list[Finding]()
    for split in SPLITS:
        try:
            splits[split] = open_dataset(with_split(spec, split))
            findings.append(Finding(f"split {split}", "good", f"{len(splits[split])} images"))
        except (SynthCPError, OSError) as error:
            findings.append(trouble(f"split {split}", error, "note"))
    if len(splits) > 1 and len({tuple(dataset.ids) for dataset in splits.values()}) == 1:
        remedy = "put the images into train/, val/ and test/, or name parts by ids=FILE, before you evaluate"
        return [Finding("splits", "note", "none: every split is all the images", remedy)]
    return findings + [line for pair in combinations(splits, 2) for line in _shared(*pair, splits)]


def _shared(first: str, second: str, splits: dict[str, Dataset]) -> Iterator[Finding]:
    both = sorted(set(splits[first].ids) & set(splits[second].ids))
    if not both:
        return
    one, other = (dataset[list(dataset.ids).index(both[0])].image for dataset in (splits[first], splits[second]))
    line = f"{first} and {second} share {_counted(len(both), 'id')}, such as {both[0]}"
    if not one.equal(other):
        yield Finding("splits", "note", f"{line}, another image", "give every image a name of its own")
    elif len(both) == len(splits[first]) == len(splits[second]):
        remedy = f"calibrate and choose on other images than you evaluate on: name parts of {first} by ids=FILE"
        yield Finding("splits", "note", f"{first} and {second} are the same images", remedy)
    else:
        yield Finding("splits", "bad", f"{line}, the same image", f"take the images out of {first} or {second}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
