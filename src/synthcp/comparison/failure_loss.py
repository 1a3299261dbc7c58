"""The loss of F (eq. 8): cross-entropy of the error map and distance of the class quality."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcp.ranges import WEIGHT, check_ranges


@dataclass(frozen=True)
class FailureLossConfig:
    """Eq. 8 and its variants; the defaults are the paper's.

    Attributes:
        smooth: SmoothL1 in place of L1 on the IoU (official).
        weighted: Weigh every pixel's cross-entropy by MSP squared, ignored pixels counting as right (official).
        present_only: Judge the IoU only of classes that the ground truth holds, the rest counting as right (official);
            otherwise of all classes that ground truth or prediction holds.
        pixel: Factor of the pixels' term; 0 trains the head of the classes alone ("ours separate").
        quality: Factor of the classes' term; 0 trains the head of the pixels alone. Both 0 train none, without labels.
    """

    smooth: bool = False
    weighted: bool = False
    present_only: bool = False
    pixel: float = 1.0
    quality: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, pixel=WEIGHT, quality=WEIGHT)

    @property
    def teaches(self) -> bool:
        """Whether F learns anything from it."""
        return self.pixel > 0 or self.quality > 0


def failure_loss(
    error_log_odds: Tensor,
    class_quality: Tensor,
    error: Tensor,
    iou: Tensor,
    logits: Tensor,
    config: FailureLossConfig,
) -> tuple[Tensor, Tensor]:
    """Return the two terms of eq. 8: pixel cross-entropy and IoU distance.

    Args:
        error_log_odds: Of F, shape (B, *S).
        class_quality: c_iu of F, shape (B, L).
        error: c_m of eq. 7: 1 wrong, 0 right, NaN on ignored pixels; shape (B, *S).
        iou: Eq. 6, shape (B, L); NaN for classes that are not judged.
        logits: Of M, shape (B, L, *S).
        config: Which variant.
    """
    known = ~error.isnan()
    weight = logits.float().softmax(dim=1).amax(dim=1) ** 2 if config.weighted else torch.ones_like(error)
    entropy = F.binary_cross_entropy_with_logits(error_log_odds, error.nan_to_num(), weight * known, reduction="sum")
    judged = ~iou.isnan()
    distance = F.smooth_l1_loss if config.smooth else F.l1_loss
    quality = distance(class_quality[judged], iou[judged], reduction="sum")
    pixels = error.numel() if config.weighted else int(known.sum())
    classes = iou.numel() if config.present_only else int(judged.sum())
    return config.pixel * entropy / max(1, pixels), config.quality * quality / max(1, classes)
