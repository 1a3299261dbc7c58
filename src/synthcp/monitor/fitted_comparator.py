"""F as it was fitted: its weights, the variant under which they were learnt, and what was learnt with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from synthcp.comparison.blend import Blend
from synthcp.comparison.failure import FailureComparator
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.network import ComparisonNetwork
from synthcp.config.values import load_record, save_record
from synthcp.config.variants import Variant
from synthcp.monitor.networks import build_network
from synthcp.monitor.settings import Learnt, MonitorSettings
from synthcp.segmentation.base import Segmenter
from synthcp.system.files import load_network
from synthcp.system.run_folder import learnt_path
from synthcp.system.runtime import Runtime


@dataclass(frozen=True)
class LearntUnder:
    """What lies beside F's weights as JSON.

    Attributes:
        variant: What was computed when F learnt.
        learnt: What was learnt with it.
    """

    variant: Variant
    learnt: Learnt


@dataclass(frozen=True)
class FittedComparator:
    """F, and what was learnt with it.

    Attributes:
        network: F.
        variant: What was computed when it learnt.
        learnt: Its scores and thresholds.
    """

    network: ComparisonNetwork
    variant: Variant
    learnt: Learnt

    def comparator(self, segmenter: Segmenter | None, t: float = 0.999) -> FailureComparator:
        """Return F with its scores.

        Args:
            segmenter: The live M that compares images with syntheses; without one F finds no anomalies.
            t: Threshold of eq. 9's refinement.
        """
        score: Blend | str = self.variant.score
        if score == "blend":
            assert self.learnt.blend is not None
            score = self.learnt.blend
        distance = None if segmenter is None else FeatureDistance(segmenter, t)
        return FailureComparator(self.network, distance, score, self.learnt.fusion)

    def save_learnt(self, weights: Path) -> None:
        """Write what was learnt beside the file of the weights; errors as save_json."""
        save_record(learnt_path(weights), LearntUnder(self.variant, self.learnt))

    @classmethod
    def load(cls, weights: Path, settings: MonitorSettings, runtime: Runtime) -> Self:
        """Read F for use.

        Args:
            weights: File of its weights.
            settings: Of the run; the variant under which F was learnt may be another one.
            runtime: Where it runs.

        Raises:
            InputError: What was learnt is missing or damaged.
            WeightsError: The weights are missing, damaged or do not fit.
        """
        stored = load_record(learnt_path(weights), LearntUnder)
        network = load_network(weights, partial(build_network, replace(settings, variant=stored.variant)))
        return cls(runtime.place(network).eval().requires_grad_(False), stored.variant, stored.learnt)
