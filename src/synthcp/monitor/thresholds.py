"""What is usual for a monitor, read off predictions it was not trained on; beyond it, it alarms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.failure import FailureComparator
from synthcp.ranges import SHARE, check_ranges
from synthcp.system.runtime import Runtime

LARGEST_ERROR = 2.0
"""Of an error map: that of the variant "official" is a sum of two shares."""
LARGEST_DISTANCE = 2.0
"""Of eq. 9 refined by MSP: that of opposite features."""
LARGEST_FUSED = 1.0
"""Of the fused anomaly score, a probability."""
NEVER = max(LARGEST_DISTANCE, LARGEST_FUSED)
"""An anomaly threshold that no score exceeds."""


@dataclass(frozen=True)
class Thresholds:
    """What is unusual.

    Attributes:
        error: Probability above which a pixel counts as wrong.
        error_share: Expected share of wrong pixels above which an image is worth a look.
        anomaly: Score above which a pixel counts as unknown.
        anomaly_share: Share of unknown pixels above which an image is worth a look.
        class_quality: Predicted IoU (or Dice) below which a class is worth a look, per class.
    """

    error: float = 0.5
    error_share: float = 1.0
    anomaly: float = NEVER
    anomaly_share: float = 1.0
    class_quality: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(
            self,
            error=SHARE,
            error_share=(0.0, LARGEST_ERROR),
            anomaly=(-0.01, NEVER + 0.01),
            anomaly_share=SHARE,
            class_quality=SHARE,
        )


@torch.no_grad()
def fit_thresholds(
    comparator: FailureComparator, usually: Iterable[Evidence], runtime: Runtime, usual: float = 0.9
) -> Thresholds:
    """Return thresholds that the share `usual` of images (1% of pixels for the anomaly score) stay within.

    Args:
        comparator: F with its score.
        usually: Of images that neither M nor F was trained on, one by one.
        runtime: Where F runs.
        usual: Share of the images without an alarm of each kind, in (0, 1).
    """
    errors, anomalies, qualities = [], [], []
    for evidence in usually:
        batch = evidence.mapped(runtime.send)
        with runtime.autocast():
            detection = comparator.judge(batch)
        assert detection.error_map is not None and detection.class_quality is not None
        present = torch.bincount(batch.logits.argmax(dim=1).flatten(), minlength=batch.logits.shape[1]) > 0
        errors.append(detection.error_map.float().mean().cpu())
        if detection.anomaly_map is not None:
            anomalies.append(detection.anomaly_map.float().cpu())
        qualities.append(detection.class_quality[0].float().where(present, torch.nan).cpu())
    anomaly, anomaly_share = _usual_anomaly(anomalies, usual) if anomalies else (NEVER, 1.0)
    floors = torch.stack(qualities).nanquantile(1 - usual, dim=0).nan_to_num(0.0)
    return Thresholds(
        error_share=_quantile(torch.stack(errors), usual),
        anomaly=anomaly,
        anomaly_share=anomaly_share,
        class_quality=tuple(floors.tolist()),
    )


def _usual_anomaly(anomalies: list[Tensor], usual: float) -> tuple[float, float]:
    """The score that 1% of all pixels exceed, and the share of such pixels that `usual` of the images stay below."""
    anomaly = _quantile(torch.cat([scores.flatten()[::7] for scores in anomalies]), 0.99)
    shares = torch.stack([(scores > anomaly).float().mean() for scores in anomalies])
    return anomaly, _quantile(shares, usual)


def _quantile(values: Tensor, share: float) -> float:
    """Return a quantile of any number of values (torch.quantile refuses more than 16 million)."""
    return float(values.flatten().sort().values[round(share * (values.numel() - 1))])
