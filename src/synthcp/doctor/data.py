"""A labelled data set: its images, labels, classes, groups, values and splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch

from synthcp.config.scales import Scale
from synthcp.data.base import Dataset
from synthcp.data.check import check_sample
from synthcp.data.folder import SPLITS
from synthcp.data.specs import open_dataset, with_split
from synthcp.data.subset import spread
from synthcp.doctor.findings import Finding, State, trouble
from synthcp.errors import SynthCPError
from synthcp.records import Classes, Sample

SHOWN = 5
"""Unusable images that are named one by one; the others are counted."""
FLAT = 0.01
"""Standard deviation of the values below which an image shows nothing."""


@dataclass
class Census:
    """What was counted over the images of a data set.

    Attributes:
        classes: Of the data set.
        sizes: Of the images.
        channels: Of the images.
        groups: Of the images.
        labelled: Images with a label map that will do.
        unlabelled: Ids of the images without a label map.
        unusable: One finding for every image that cannot be read or breaks a rule.
        odd: Ids of the images with odd values, by what is odd.
        pixels: Of each class, in all label maps.
        images: Holding each class.
        ignored: Pixels without a class.
        low: The smallest value of all images.
        high: The largest.
    """

    classes: Classes
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    labelled: int = 0
    unlabelled: list[str] = field(default_factory=list)
    unusable: list[Finding] = field(default_factory=list)
    odd: dict[str, list[str]] = field(default_factory=dict)
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    ignored: int = 0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, sample: Sample) -> None:
        """Count one image."""
        self.sizes[tuple(sample.image.shape[1:])] += 1
        self.channels[len(sample.image)] += 1
        self.groups[sample.group] += 1
        self._add_values(sample)
        if sample.label_map is None:
            self.unlabelled.append(sample.id)
            return
        label_map = check_sample(sample, self.classes, next(iter(self.channels)))
        self.labelled += 1
        for label, count in zip(*(part.tolist() for part in torch.unique(label_map, return_counts=True)), strict=True):
            if label == self.classes.ignore_index:
                self.ignored += count
            else:
                self.pixels[label] += count
                self.images[label] += 1

    def _add_values(self, sample: Sample) -> None:
        low, high = float(sample.image.min()), float(sample.image.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        oddity = _oddity(low, high, float(sample.image.std()))
        if oddity:
            self.odd.setdefault(oddity, []).append(sample.id)


def check_data(spec: str, dataset: Dataset, scale: Scale, limit: int | None = 200) -> list[Finding]:
    """Check a data set for a fit.

    Args:
        spec: Of the data set.
        dataset: That it names.
        scale: Of the fit.
        limit: Number of images to look at, evenly spread; None takes all.
    """
    few = dataset if limit is None else spread(dataset, limit)
    census = take_census(few)
    looked = f"{len(dataset)} images" + (f", {len(few)} of them looked at" if len(few) < len(dataset) else "")
    return [
        _images(looked, census),
        *_unusable(census),
        *_classes(census, everything=len(few) == len(dataset)),
        *_ignored(census),
        *_values(census),
        _groups(census, scale.folds),
        *check_splits(spec),
    ]


def take_census(dataset: Dataset) -> Census:
    """Read every image of a data set once; what is wrong with one of them becomes a finding."""
    census = Census(dataset.classes)
    for index, sample_id in enumerate(dataset.ids):
        try:
            census.add(dataset[index])
        except (SynthCPError, OSError) as error:
            census.unusable.append(trouble(f"image {sample_id}", error))
    return census


def check_splits(spec: str) -> list[Finding]:
    """Open the usual splits of a data set, and look for images that are in two of them."""
    splits, findings = dict[str, Dataset](), list[Finding]()
    for split in SPLITS:
        try:
            splits[split] = open_dataset(with_split(spec, split))
            findings.append(Finding(f"split {split}", "good", f"{len(splits[split])} images"))
        except (SynthCPError, OSError) as error:
            findings.append(trouble(f"split {split}", error, "note"))
    ids = {tuple(dataset.ids) for dataset in splits.values()}
    if len(splits) > 1 and len(ids) == 1:
        remedy = "put the images into train/, val/ and test/, or name parts by ids=FILE, before you evaluate"
        return [Finding("splits", "note", "none: every split is all the images", remedy)]
    return findings + [line for pair in combinations(splits, 2) for line in _shared(*pair, splits)]


def _shared(first: str, second: str, splits: dict[str, Dataset]) -> list[Finding]:
    both = sorted(set(splits[first].ids) & set(splits[second].ids))
    if not both:
        return []
    one, other = (dataset[list(dataset.ids).index(both[0])].image for dataset in (splits[first], splits[second]))
    line = f"{first} and {second} share {_counted(len(both), 'id')}, such as {both[0]}"
    if not one.equal(other):
        return [Finding("splits", "note", f"{line}, another image", "give every image a name of its own")]
    if len(both) == len(splits[first]) == len(splits[second]):
        remedy = f"calibrate and choose on other images than you evaluate on: name parts of {first} by ids=FILE"
        return [Finding("splits", "note", f"{first} and {second} are the same images", remedy)]
    return [Finding("splits", "bad", f"{line}, the same image", f"take the images out of {first} or {second}")]


def _images(looked: str, census: Census) -> Finding:
    sizes, channels = sorted(census.sizes), "/".join(map(str, sorted(census.channels)))
    line = f"{looked}; {channels or 'no'} channels; {len(census.classes)} classes"
    if len(sizes) < 2:
        return Finding("images", "good", f"{line}; size {_size(sizes[0]) if sizes else 'unknown'}")
    line = f"{line}; {len(sizes)} sizes, {_size(sizes[0])} to {_size(sizes[-1])}"
    return Finding("images", "note", line, "none needed: fit cuts windows of the shape of the first image")


def _unusable(census: Census) -> list[Finding]:
    findings = census.unusable[:SHOWN]
    if len(census.unusable) > SHOWN:
        line = f"{len(census.unusable) - SHOWN} more cannot be used either"
        findings.append(Finding("other images", "bad", line, "mend the first ones, and look again"))
    if census.unlabelled:
        line = f"{_counted(len(census.unlabelled), 'image')} without a label map, such as {census.unlabelled[0]}"
        findings.append(Finding("labels", "bad", line, "add label maps under labels/; a fit needs one for every image"))
    return findings


def _classes(census: Census, everything: bool) -> list[Finding]:
    total, labelled = sum(census.pixels.values()), census.labelled
    findings = []
    for label, name in enumerate(census.classes.names if total else ()):
        if census.images[label]:
            line = f"{census.pixels[label] / total:.2%} of the pixels, in {census.images[label]} of {labelled} images"
            findings.append(Finding(f"class {name}", "good", line))
        else:
            line = f"never occurs in {labelled} images; nothing can be learnt of it"
            remedy = "label it, or take it out of the classes" if everything else "look at all images with --all"
            findings.append(Finding(f"class {name}", "note", line, remedy))
    return findings


def _ignored(census: Census) -> list[Finding]:
    total = census.ignored + sum(census.pixels.values())
    if not total:
        return []
    share = census.ignored / total
    line = f"{share:.2%} of the pixels have no class (value {census.classes.ignore_index})"
    if share == 1:
        return [Finding("ignored", "bad", line, 'correct "ignore_index" in classes.json')]
    if share > 0.5:
        return [Finding("ignored", "note", line, 'is "ignore_index" in classes.json right?')]
    return [Finding("ignored", "good", line)]


def _values(census: Census) -> list[Finding]:
    seen = sum(census.sizes.values())
    findings = []
    for oddity, ids in census.odd.items():
        state: State = "bad" if 2 * len(ids) >= seen else "note"
        line = f"{oddity} in {len(ids)} of {seen} images, such as {ids[0]}"
        findings.append(
            Finding("values", state, line, "images are 0 to 255 in files, 0 to 1 as tensors; correct these")
        )
    if seen and not findings:
        findings.append(Finding("values", "good", f"{census.low:.2f} to {census.high:.2f}, none of the images flat"))
    return findings


def _oddity(low: float, high: float, deviation: float) -> str:
    """What is odd about the values of an image; empty when nothing is."""
    if not (low >= 0 and high <= 1):  # NaN is neither
        return "values outside [0, 1]"
    if high <= 1.5 / 255:
        return "no value above 1/255, as of a label map or an image divided by 255 twice,"
    return "nearly one value" if deviation < FLAT else ""


def _groups(census: Census, folds: int) -> Finding:
    groups = len(census.groups)
    if groups >= folds:
        return Finding("groups", "good", f"{groups} groups of images, enough for {folds} folds of whole groups")
    line = f"{_counted(groups, 'group')}, too few for {folds} folds of whole groups"
    return Finding("groups", "note", line, "name images by sequence (folder or prefix), if they are of several")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
