"""The VAE alarm (Liu et al., ICCV 2019): a mask that a VAE of true masks cannot reconstruct has a strange shape.

The detector is RegressedQuality(ShapeScore(vae), fit_line(scores, quality)), the line fitted on imperfect masks. The
image is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.metrics.overlap import confusion_matrix, dice, intersection_over_union
from synthcp.nn.labels import one_hot
from synthcp.records import Prediction, measure_of
from synthcp.rivals.foreground_box import Box, crop, foreground_box, whole_box
from synthcp.rivals.quality_regression import ClassScores
from synthcp.rivals.shape_vae import NO_CLASS, ShapeVae, ShapeVaeConfig


@dataclass(frozen=True)
class ShapeScore:
    """Scores each class by the IoU (in volumes the Dice) of its mask and the mask's reconstruction; larger is better.

    Attributes:
        vae: Trained on ground-truth label maps (rivals/shape_vae_training.py).
    """

    vae: ShapeVae

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore)."""
        return ClassScores(shape_scores(self.vae, prediction.label_map))


@torch.no_grad()
def shape_scores(vae: ShapeVae, label_map: Tensor) -> Tensor:
    """Return the IoU (in volumes the Dice) of every class between label maps and their reconstructions.

    Those are drawn from the mean code. Both are compared on the grid that the VAE sees.

    Args:
        vae: In evaluation mode.
        label_map: shape (B, *S), of any size.

    Returns:
        shape (B, L), in [0, 1]; NaN where the grid does not show the class.
    """
    classes, quality = vae.config.classes, dice if measure_of(label_map.ndim - 1) == "Dice" else intersection_over_union
    masks = torch.stack([shape_of(one, vae.config) for one in label_map])
    probabilities, _, _ = vae(one_hot(masks, classes))
    pairs = zip(masks, probabilities.argmax(dim=1), strict=True)
    scores = torch.stack([quality(confusion_matrix(mask, rebuilt, classes, NO_CLASS)) for mask, rebuilt in pairs])
    shown = torch.stack([(masks == label).flatten(1).any(dim=1) for label in range(classes)], dim=1)
    return scores.float().where(shown, torch.nan)


def shape_of(label_map: Tensor, config: ShapeVaeConfig) -> Tensor:
    """Return a label map (*S) as a VAE sees it, shape (*grid); NO_CLASS where it sees nothing."""
    return view(label_map, box_of(label_map, config), config)


def box_of(label_map: Tensor, config: ShapeVaeConfig) -> Box:
    """Return the box of a label map (*S) that a VAE looks at."""
    if config.background is None:
        return whole_box(label_map)
    return foreground_box(label_map, config.classes, config.grid, config.background)


def view(label_map: Tensor, box: Box, config: ShapeVaeConfig) -> Tensor:
    """Return what a VAE sees of a label map (*S) in a box, shape (*grid); NO_CLASS where it sees nothing."""
    return crop(label_map, box, config.classes, config.grid, config.outside)
