"""How far predicted image quality can be trusted: the report's section on risk, coverage and reliability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from synthcp.metrics.risk import risk_coverage
from synthcp.records import Measure
from synthcp.report.figures import risk_figure, to_svg
from synthcp.report.metric_tables import percent
from synthcp.report.rows import ResultRow

Floats = NDArray[np.float64]
_QUALITY: dict[Measure, str] = {
    "IoU": "the mean IoU over the classes that the prediction, or the ground truth, shows",
    "Dice": "the mean Dice over all structures, of which one that is rightly empty counts 1",
}


@dataclass(frozen=True)
class Trust:
    """What the section says.

    Attributes:
        scores: AURC and what to compare it with.
        kept: What became of the calibrated promise; empty without a calibration.
        figure: Risk-coverage curve and reliability diagram, an <svg> of matplotlib, which escapes its texts.
    """

    scores: str
    kept: str
    figure: Markup


def trust_of(rows: Sequence[ResultRow], thresholds: Mapping[str, float], measure: Measure = "IoU") -> Trust | None:
    """The section for images whose true quality is known; None when there is none.

    Args:
        rows: Of the scored images.
        thresholds: Those of `RunSettings`; "floor" is there for a calibrated monitor.
        measure: Of the quality.
    """
    judged = [row for row in rows if not math.isnan(row.true_mean_quality + row.mean_quality)]
    if not judged:
        return None
    true, predicted = (
        np.array([getattr(row, name) for row in judged]) for name in ("true_mean_quality", "mean_quality")
    )
    accepted = np.array([row.decision == "accept" for row in judged])
    calibrated = "floor" in thresholds
    return Trust(
        scores=_scores(true, predicted, measure),
        kept=_kept(true[accepted] < thresholds["floor"], len(true), thresholds["floor"]) if calibrated else "",
        figure=Markup(to_svg(risk_figure(predicted, true, float(accepted.mean()) if calibrated else None, measure))),
    )


def _scores(true: Floats, predicted: Floats, measure: Measure) -> str:
    curve = risk_coverage(predicted, 1 - true)
    best, chance = curve.aurc - curve.excess_aurc, float((1 - true).mean())
    return (
        f"AURC {percent(curve.aurc)} %, the mean risk over all coverages, on {len(true)} images; the best order would "
        f"have {percent(best)} %, an order by chance {percent(chance)} %. Predicted and true quality of an image are "
        f"{_QUALITY[measure]}"
    )


def _kept(bad: NDArray[np.bool_], images: int, floor: float) -> str:
    """What became of the accepted, of which `bad` tells the bad ones."""
    if not len(bad):
        return f"Accepted: none of {images} images"
    share = f"{bad.sum()} of these ({percent(float(bad.mean()))} %)"
    return f"Accepted: {len(bad)} of {images} images; bad, with a true quality below {floor:g}: {share}"
