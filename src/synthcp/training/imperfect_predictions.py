"""Imperfect predictions to train F on: every image is segmented by an M that has not seen it, by k folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from synthcp.comparison.failure import feature_distances_of
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.errors import InputError
from synthcp.nn.finite import is_finite
from synthcp.records import Prediction
from synthcp.segmentation.base import Segmenter, at_size
from synthcp.synthesis.base import Generator
from synthcp.system.files import load_tensors, save_tensors
from synthcp.system.runtime import Runtime

FoldRule = Literal["contiguous", "dealt", "group"]


def assign_folds(groups: Sequence[str], folds: int, rule: FoldRule, runs: int = 4) -> list[int]:
    """Return the fold of every sample.

    Args:
        groups: The group of every sample, in natural order.
        folds: k.
        rule: "contiguous": k blocks in natural order (the authors' release); "dealt": k times `runs` blocks, dealt to
            the folds in turn, so that each fold sees every part of the recording and neighbours mostly stay together;
            "group": whole groups, the largest first to the emptiest fold.
        runs: Blocks per fold of "dealt".

    Raises:
        InputError: There are fewer samples or groups than folds.
    """
    count = len(groups)
    distinct = sorted(set(groups))
    parts, noun = (len(distinct), "group") if rule == "group" else (count, "image")
    if parts < folds:
        counted = f"{parts} {noun}{'' if parts == 1 else 's'}"
        raise InputError(f"{counted} cannot make {folds} folds; use fewer folds or more data")
    if rule == "contiguous":
        return [((index + 1) * folds - 1) // count for index in range(count)]  # fold f starts at int(f * count / folds)
    if rule == "dealt":
        blocks = min(count, folds * runs)
        return [index * blocks // count % folds for index in range(count)]
    sizes = {group: groups.count(group) for group in distinct}
    load = [0] * folds
    fold_of = {}
    for group in sorted(distinct, key=lambda name: (-sizes[name], name)):
        fold_of[group] = load.index(min(load))
        load[fold_of[group]] += sizes[group]
    return [fold_of[group] for group in groups]


def crossfit_folds(groups: Sequence[str], folds: int) -> list[int]:
    """Return the fold of every sample for a cross-fitted G: whole groups, in fewer folds where there are fewer groups.

    Raises:
        InputError: All samples are of one group.
    """
    if len(set(groups)) == 1:
        raise InputError("all images are of one group, without which no G can be fitted; leave crossfit=group out")
    return assign_folds(groups, min(folds, len(set(groups))), "group")


@dataclass(frozen=True)
class ImperfectPrediction:
    """An out-of-fold prediction of one image, and what F is shown of it; all float32, unbatched.

    Attributes:
        logits: Of M, shape (L, *S).
        syntheses: What each generator makes of the prediction, by its name, shape (C, *S), in [0, 1].
        feature_distances: What M finds different between the image and each synthesis, shape (1 + layers, *S), see
            FeatureDistance.feature_distances; no channels without a live M.
        objectness: How far what M sees is from a blank canvas, shape (layers, *S); None without a live M.
        image: x, shape (C, *S), in [0, 1], where it is none of the data set's.
    """

    logits: Tensor
    syntheses: dict[str, Tensor]
    feature_distances: dict[str, Tensor]
    objectness: Tensor | None = None
    image: Tensor | None = None


@dataclass(frozen=True)
class Synthesizer:
    """Makes of a prediction what F is shown.

    Attributes:
        segmenter: The M that compares images with syntheses; None when there is no live one.
        generators: G, by name.
        runtime: Where the networks run.
    """

    segmenter: Segmenter | None
    generators: Mapping[str, Generator]
    runtime: Runtime

    @torch.no_grad()
    def __call__(self, image: Tensor, prediction: Prediction, *, keep_image: bool = False) -> ImperfectPrediction:
        """Synthesize an image from a prediction by each generator, and compare.

        Args:
            image: x, shape (C, *S), in [0, 1].
            prediction: Of M for x, with logits (1, L, *s) of any size.
            keep_image: Whether the image is none of the data set's, and so kept as well.
        """
        batch, prediction = self.runtime.send(image[None]), at_size(prediction, image.shape[1:])
        distance = None if self.segmenter is None else FeatureDistance(self.segmenter)
        syntheses, distances = dict[str, Tensor](), dict[str, Tensor]()
        with self.runtime.autocast():
            objectness = None if distance is None else distance.objectness(batch, prediction)[0]
            for name, generator in self.generators.items():
                synthesis = generator.draw(prediction.label_map, batch)
                syntheses[name] = synthesis[0]
                distances[name] = feature_distances_of(distance, batch, synthesis, prediction)[0]
        return ImperfectPrediction(
            prediction.logits[0], syntheses, distances, objectness, image if keep_image else None
        )


class ImperfectPredictions:
    """Out-of-fold predictions on disk, one file for each image and view; images in 256 steps, all else in float16.

    A view is one way of getting an out-of-fold prediction (a fold seed, an early checkpoint).

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, view: str, index: int) -> Path:
        """Return the file of one image."""
        return self.folder / f"{view}-{index:06d}.safetensors"

    def write(self, view: str, index: int, kept: ImperfectPrediction) -> None:
        """Keep the prediction of one image."""
        tensors = {"logits": kept.logits, "objectness": kept.objectness, "image": kept.image}
        tensors |= {f"synthesis/{name}": synthesis for name, synthesis in kept.syntheses.items()}
        tensors |= {f"feature distance/{name}": distance for name, distance in kept.feature_distances.items()}
        packed = {name: _packed(name, tensor) for name, tensor in tensors.items() if tensor is not None}
        save_tensors(self.path(view, index), packed)

    def read(self, view: str, index: int) -> ImperfectPrediction:
        """Return what was kept of one image."""
        stored, _ = load_tensors(self.path(view, index))
        single, by_generator = dict[str, Tensor](), defaultdict[str, dict[str, Tensor]](dict)
        for key, tensor in stored.items():
            part, _, name = key.partition("/")
            unpacked = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
            (by_generator[part] if name else single)[name or part] = unpacked
        return ImperfectPrediction(
            syntheses=by_generator["synthesis"], feature_distances=by_generator["feature distance"], **single
        )

    def made_once(self, what: str, make: Callable[[], Sequence[Tensor]], *, view: str, index: int) -> list[Tensor]:
        """Return what is made of the prediction of one image, made when it is first asked for and kept in float16.

        Args:
            what: Its name.
            make: Makes it.
            view: Way of the prediction.
            index: Of the image.
        """
        path = self.path(f"{what}-{view}", index)
        if not path.exists():
            save_tensors(path, {str(number): _packed("", tensor) for number, tensor in enumerate(make())})
        stored, _ = load_tensors(path)
        return [stored[str(number)].float() for number in range(len(stored))]


def _packed(name: str, tensor: Tensor) -> Tensor:
    """An image in [0, 1] in steps of 1 / 255, all else in float16 where that holds it."""
    if name == "image" or name.startswith("synthesis/"):
        return (tensor * 255).round().to(torch.uint8)
    half = tensor.half()
    return half if is_finite(half) else tensor  # logits of a brought M may be beyond float16
