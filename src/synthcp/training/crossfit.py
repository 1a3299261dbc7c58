"""Imperfect predictions to train F on: every image is segmented by an M that has not seen it, by k folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from synthcp.comparison.failure import disagreement_of
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.errors import InputError
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


class ImperfectPredictions:
    """Out-of-fold predictions on disk, one file for each image and view, with what each generator draws from them.

    A view is one way of getting an out-of-fold prediction (a fold seed, an early checkpoint).

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, view: str, index: int) -> Path:
        """Return the file of one image."""
        return self.folder / f"{view}-{index:06d}.safetensors"

    @torch.no_grad()
    def write(
        self,
        view: str,
        index: int,
        image: Tensor,
        prediction: Prediction,
        segmenter: Segmenter | None,
        generators: dict[str, Generator],
        runtime: Runtime,
        keep_image: bool = False,
    ) -> None:
        """Draw from the prediction for one image, and keep all that F will be shown.

        Args:
            view: Of the prediction.
            index: Of the image.
            image: x, shape (C, *S), in [0, 1].
            prediction: Of M for x, with logits (1, L, *s) of any size.
            segmenter: The M that looks at the drawings; None when there is no live one.
            generators: G, by name.
            runtime: Where the networks run.
            keep_image: Whether the image is none of the data set's, and so kept as well.
        """
        batch, prediction = runtime.send(image[None]), at_size(prediction, image.shape[1:])
        feature_distance = None if segmenter is None else FeatureDistance(segmenter)
        tensors = {"logits": prediction.logits[0].half()}
        if keep_image:
            tensors["image"] = _as_bytes(image)
        with runtime.autocast():
            if feature_distance is not None:
                tensors["presence"] = feature_distance.presence(batch, prediction)[0].half()
            for name, generator in generators.items():
                synthesis = generator.draw(prediction.label_map, batch)
                tensors[f"synthesis/{name}"] = _as_bytes(synthesis[0])
                disagreement = disagreement_of(feature_distance, batch, synthesis, prediction)
                tensors[f"disagreement/{name}"] = disagreement[0].half()
        save_tensors(self.path(view, index), tensors)

    def read(self, view: str, index: int) -> dict[str, Tensor]:
        """Return logits, presence, image (if kept), and of each generator synthesis and disagreement, as float32."""
        tensors, _ = load_tensors(self.path(view, index))
        return {
            name: tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
            for name, tensor in tensors.items()
        }


def _as_bytes(image: Tensor) -> Tensor:
    """An image in [0, 1] in steps of 1 / 255."""
    return (image * 255).round().to(torch.uint8)
