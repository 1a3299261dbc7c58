"""The VAE alarm (Liu et al., ICCV 2019): a mask that a VAE of true masks cannot reconstruct has a strange shape.

The detector is RegressedQuality(ShapeScore(vae), fit_line(scores, quality)), the line fitted on imperfect masks. The
image is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.detection.foreground_box import crop, foreground_box
from synthcp.detection.quality_regression import ClassScores
from synthcp.detection.shape_vae import ShapeVae
from synthcp.metrics.overlap import confusion_matrix, dice
from synthcp.nn.labels import one_hot
from synthcp.records import Prediction


@dataclass(frozen=True)
class ShapeScore:
    """Scores each class by the Dice of its mask and the mask's reconstruction; larger is better.

    Attributes:
        vae: Trained on ground-truth label maps (training/shape_vae.py).
    """

    vae: ShapeVae

    def __call__(self, image: Tensor, prediction: Prediction) -> ClassScores:
        """Measure a prediction (shapes: see QualityScore)."""
        return ClassScores(shape_scores(self.vae, prediction.label_map))


@torch.no_grad()
def shape_scores(vae: ShapeVae, label_map: Tensor) -> Tensor:
    """Return the Dice of every class between label maps and their reconstructions from the mean code.

    Both are compared on the grid that the VAE sees, around the foreground of the label map.

    Args:
        vae: In evaluation mode.
        label_map: shape (B, *S), of any size.

    Returns:
        shape (B, L), in [0, 1]; NaN where the grid does not show the class.
    """
    classes = vae.config.classes
    masks = torch.stack([shape_of(one, vae) for one in label_map])
    probabilities, _, _ = vae(one_hot(masks, classes))
    pairs = zip(masks, probabilities.argmax(dim=1), strict=True)
    scores = torch.stack([dice(confusion_matrix(mask, rebuilt, classes, ignore_index=-1)) for mask, rebuilt in pairs])
    shown = torch.stack([(masks == label).flatten(1).any(dim=1) for label in range(classes)], dim=1)
    return scores.float().where(shown, torch.nan)


def shape_of(label_map: Tensor, vae: ShapeVae) -> Tensor:
    """Return a label map (*S) as the VAE sees it, shape (*grid)."""
    classes, grid = vae.config.classes, vae.config.grid
    return crop(label_map, foreground_box(label_map, classes, grid), classes, grid)
