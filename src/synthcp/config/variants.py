"""What is computed: the paper's text, the authors' release, or the best we know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from synthcp.comparison.catalogue import COMPARATORS, FEATURE_HEAD, SIAMESE
from synthcp.comparison.failure_loss import FailureLossConfig
from synthcp.comparison.network import LabelInput
from synthcp.config.values import choose
from synthcp.errors import InputError
from synthcp.ranges import FACTOR, SHARE, check_ranges
from synthcp.synthesis.catalogue import GENERATORS, NO_GENERATOR
from synthcp.training.imperfect_predictions import FoldRule


@dataclass(frozen=True)
class Variant:
    """What is computed.

    Attributes:
        shared: One encoder for image and synthesis (paper) or two (official).
        label_input: How F sees the prediction.
        uses_uncertainty: Whether M's uncertainty and eq. 9 reach F's heads (ours).
        starts_from_segmenter: Whether F's encoder starts from the trunk of M, or of an auxiliary segmenter beside a
            brought M (ours), or from scratch.
        loss: Variant of eq. 8.
        score: The shipped error map: F's own ("raw"), F's plus 1 - MSP ("sum", official), or fitted ("blend", ours).
        anomaly: The shipped anomaly map: eq. 9 refined by MSP ("distance"), or its fusion with M's uncertainty (ours).
        fold_rule: How the training images are divided into folds.
        fold_seeds: How often the folds are trained, each time from other random numbers, for one more view each.
        early_views: Shares of a fold's training at which one more imperfect prediction is taken (ours).
        averaged: Whether the averaged weights of F are kept.
        augmented: Whether F sees zoomed, recoloured windows (ours) or the plain images.
        branches: How many feature maps reach F's heads; 1 is the authors' direct prediction.
        deeplab_head: Of M, if it is the built-in DeepLab: v2's sum (paper) or v3's pyramid (official).
        generator: Which G, one of synthesis.catalogue.GENERATORS; or "none", and F judges without a drawing (ours).
        comparator: Which F, one of comparison.catalogue.COMPARATORS.

    Raises:
        InputError: There is no such generator or comparator, or a number is outside its range.
    """

    shared: bool = True
    label_input: LabelInput = "one_hot"
    uses_uncertainty: bool = False
    starts_from_segmenter: bool = False
    loss: FailureLossConfig = field(default_factory=FailureLossConfig)
    score: Literal["raw", "sum", "blend"] = "raw"
    anomaly: Literal["distance", "fusion"] = "distance"
    fold_rule: FoldRule = "contiguous"
    fold_seeds: int = 1
    early_views: tuple[float, ...] = ()
    averaged: bool = False
    augmented: bool = False
    branches: Literal[1, 2] = 2
    deeplab_head: Literal["sum", "v3"] = "sum"
    generator: str = "spade"
    comparator: str = SIAMESE

    def __post_init__(self) -> None:
        if self.draws:
            choose(GENERATORS, self.generator, "generator")
        elif self.anomaly == "distance":
            raise InputError(
                f"generator {self.generator!r} draws nothing, but eq. 9 compares with a drawing; name a generator, or "
                "take the variant 'ours'"
            )
        choose(COMPARATORS, self.comparator, "comparator")
        check_ranges(self, fold_seeds=FACTOR, early_views=SHARE)

    @property
    def draws(self) -> bool:
        """Whether there is a G."""
        return self.generator != NO_GENERATOR


VARIANTS: dict[str, Variant] = {
    "paper": Variant(),
    "official": Variant(
        shared=False,
        label_input="squeezed",
        loss=FailureLossConfig(smooth=True, weighted=True, present_only=True),
        score="sum",
        deeplab_head="v3",
    ),
    "ours": Variant(
        label_input="softmax",
        uses_uncertainty=True,
        starts_from_segmenter=True,
        loss=FailureLossConfig(present_only=True),
        score="blend",
        anomaly="fusion",
        fold_rule="dealt",
        early_views=(0.7,),
        averaged=True,
        augmented=True,
        comparator=FEATURE_HEAD,
    ),
}


def unlabelled(variant: Variant) -> Variant:
    """Return what is left of a variant where no mistake of M is known: F learns nothing of them, nor does its score."""
    return replace(variant, score="raw", loss=replace(variant.loss, pixel=0.0, quality=0.0))
