"""What every detector promises, in 2D and 3D. A new one needs a line in DETECTORS (variants and logit scores none)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from synthcp.comparison.anomaly_fusion import AnomalyFusion, FusedAnomaly
from synthcp.comparison.base import Comparator, Detector
from synthcp.comparison.blend import Blend
from synthcp.comparison.failure import FailureComparator
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector, entropy
from synthcp.comparison.siamese import SiameseConfig, SiameseNetwork
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.config.variants import VARIANTS
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Detection, Prediction
from synthcp.rivals.autoencoder import Autoencoder, AutoencoderConfig, ReconstructionError
from synthcp.rivals.average import Average
from synthcp.rivals.class_entropy import ClassEntropy
from synthcp.rivals.class_gaussians import fit_class_gaussians
from synthcp.rivals.class_statistics import ClassStatistics
from synthcp.rivals.constant import ConstantError, ConstantQuality, VolumeShare
from synthcp.rivals.crf import CrfRefinedMsp
from synthcp.rivals.direct import DirectPrediction
from synthcp.rivals.dropout import MonteCarloDropout
from synthcp.rivals.feature_density import FeatureDensity
from synthcp.rivals.nearest_neighbors import fit_nearest_neighbors
from synthcp.rivals.one_level import ImageLevel, PixelLevel
from synthcp.rivals.pairwise_dice import PairwiseDice
from synthcp.rivals.quality_regression import Isotonic, Line, LinearMap, QualityScore, RegressedQuality
from synthcp.rivals.second_look import SecondLook
from synthcp.rivals.shape_vae import ShapeVae, ShapeVaeConfig
from synthcp.rivals.standardized_max_logits import StandardizedMaxLogits
from synthcp.rivals.true_class_probability import ConfidenceConfig, ConfidenceNetwork, TrueClassProbability
from synthcp.rivals.vae_alarm import ShapeScore
from synthcp.rivals.voxel_uncertainty import AGGREGATORS, PredictiveEntropy, PredictiveVariance, UncertaintyScore
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.multi_scale import MultiScale
from synthcp.synthesis.base import Generator
from synthcp.synthesis.spade import SpadeConfig, SpadeGenerator

CLASSES = 3
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 41), 3: (8, 12, 16)}
PALETTE = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9]])


class Colors(Segmenter):
    """Labels every pixel by its nearest colour; the features are the pixel itself."""

    def __init__(self, dims: SpatialDims) -> None:
        super().__init__(dims, (0.0,), (1.0,))

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return 10 * torch.einsum("lc,bc...->bl...", PALETTE, image), [image]


class Paint(Generator):
    """Paints every class in its colour."""

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        return PALETTE[label_map].movedim(-1, 1)


def comparator(dims: SpatialDims, variant: str) -> FailureComparator:
    chosen = VARIANTS[variant]
    config = SiameseConfig(
        CLASSES,
        width=4,
        hidden=4,
        shared=chosen.shared,
        label_input=chosen.label_input,
        uses_doubt=chosen.uses_doubt,
        disagreements=2,  # Colors shows one layer
    )
    network = SiameseNetwork(dims, config).eval().requires_grad_(False)
    for parameter in network.verdicts.parameters():
        torch.nn.init.normal_(parameter)  # those of ours start at zero, blind to the drawing
    score = Blend(0.7, 0.5, 0.1) if chosen.score == "blend" else chosen.score
    return FailureComparator(network, FeatureDistance(Colors(dims)), score)


def spade(dims: SpatialDims) -> Generator:
    config = SpadeConfig(CLASSES, width=4, hidden=4, multipliers=(2, 1))
    return SpadeGenerator(dims, config).eval().requires_grad_(False)


def anomaly_detector(dims: SpatialDims) -> Detector:
    return SynthesizeThenCompare(spade(dims), FeatureDistance(Colors(dims)))


def failure_detector(variant: str) -> Callable[[SpatialDims], Detector]:
    return lambda dims: SynthesizeThenCompare(spade(dims), comparator(dims, variant))


def direct(variant: str) -> Callable[[SpatialDims], Detector]:
    return lambda dims: DirectPrediction(comparator(dims, variant))


def standardized(dims: SpatialDims) -> Detector:
    return StandardizedMaxLogits(ClassStatistics((-8.0, -9.0, -7.5), (1.0, 2.0, 0.5)))


def mahalanobis(dims: SpatialDims) -> Detector:
    image, prediction = scene(dims)
    return FeatureDensity(Colors(dims), fit_class_gaussians([(image, prediction.label_map)], CLASSES))


def neighbors(dims: SpatialDims) -> Detector:
    image, prediction = scene(dims)
    return FeatureDensity(Colors(dims), fit_nearest_neighbors([(image.roll(1), prediction.label_map)], CLASSES, 10, 2))


def autoencoder(dims: SpatialDims) -> Detector:
    network = Autoencoder(dims, AutoencoderConfig(width=4, depth=3, bottleneck=4))
    return ReconstructionError(network.eval().requires_grad_(False))


def true_class_probability(dims: SpatialDims) -> Detector:
    image, _ = scene(dims)
    network = ConfidenceNetwork(Colors(dims), image, ConfidenceConfig(fused=4, widths=(5, 4)))
    return TrueClassProbability(network.eval().requires_grad_(False))


class DroppingColors(Colors):
    """Colors that drops some of them."""

    def __init__(self, dims: SpatialDims) -> None:
        super().__init__(dims)
        self.dropout = torch.nn.Dropout(0.2)

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return super().look(self.dropout(image))


def fused(dims: SpatialDims) -> Detector:
    fusion = AnomalyFusion((0.5, -8.0, -2.0, -1.0), (0.2, 1.0, 1.0, 1.0))
    return SynthesizeThenCompare(spade(dims), FusedAnomaly(FeatureDistance(Colors(dims)), fusion))


def on_a_line(score: QualityScore) -> Detector:
    return RegressedQuality(score, Line((-0.5, 0.3, -0.2), (0.7, 0.1, 0.6)))


def vae_alarm(dims: SpatialDims, background: int | None = 0) -> Detector:
    config = ShapeVaeConfig(CLASSES, grid=(8, 8, 12)[:dims], widths=(4, 6), latent=5, background=background)
    vae = ShapeVae(dims, config)
    return on_a_line(ShapeScore(vae.eval().requires_grad_(False)))


def uncertainty(dims: SpatialDims, aggregator: str) -> Detector:
    return on_a_line(UncertaintyScore(PredictiveEntropy(dropout(dims)), aggregator))


def dropout(dims: SpatialDims) -> MonteCarloDropout:
    return MonteCarloDropout(DroppingColors(dims).eval(), passes=3)


class Shifted(Colors):
    """Colors that sees the last axis one pixel off."""

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return super().look(image.roll(1, dims=-1))


def pairwise(dims: SpatialDims) -> Detector:
    return PairwiseDice((Shifted(dims), Colors(dims)))


def on_a_curve(dims: SpatialDims) -> Detector:
    curve = Isotonic(((0.1, 0.5), (0.2,), (0.3, 0.4)), ((0.9, 0.1), (0.5,), (0.2, 0.7)))
    return RegressedQuality(VolumeShare(), curve)


MAP = ((-0.5, 0.1, 0.2), (0.0, 0.4, -0.1), (-0.3, 0.0, -0.2))
DETECTORS: dict[str, Callable[[SpatialDims], Detector]] = {
    "anomaly": anomaly_detector,
    **{f"failure-{variant}": failure_detector(variant) for variant in VARIANTS},
    **{f"direct-{variant}": direct(variant) for variant in VARIANTS},
    **{name: lambda dims, score=score: LogitDetector(score) for name, score in LOGIT_SCORES.items()},  # type: ignore[misc]
    "standardized-max-logits": standardized,
    "dropout": dropout,
    "true-class-probability": true_class_probability,
    "autoencoder": autoencoder,
    "mahalanobis": mahalanobis,
    "nearest-neighbors": neighbors,
    "fused-anomaly": fused,
    "vae-alarm": vae_alarm,
    "vae-alarm-whole": lambda dims: vae_alarm(dims, background=None),
    **{f"entropy-{name}": lambda dims, name=name: uncertainty(dims, name) for name in AGGREGATORS},  # type: ignore[misc]
    "variance": lambda dims: on_a_line(UncertaintyScore(PredictiveVariance(dropout(dims)))),
    "pairwise-dice": pairwise,
    "average": lambda dims: Average((pairwise(dims), vae_alarm(dims))),
    "class-entropy": lambda dims: RegressedQuality(ClassEntropy(dropout(dims)), LinearMap(MAP, (0.6, 0.2, 0.9))),
    "pixel-level": lambda dims: PixelLevel(failure_detector("ours")(dims)),
    "image-level": lambda dims: ImageLevel(failure_detector("ours")(dims)),
    "constant": lambda dims: ConstantQuality((0.1, 0.7, 0.4)),
    "constant-error": lambda dims: ConstantError(0.1),
    "volume-share": on_a_curve,
    "second-look": lambda dims: SecondLook(MultiScale(Colors(dims), (1.0, 0.5)), LogitDetector(entropy)),
    **({"msp-crf": lambda dims: CrfRefinedMsp()} if find_spec("pydensecrf") else {}),  # an extra, which is compiled
}


def scene(dims: SpatialDims) -> tuple[Tensor, Prediction]:
    """Two noisy pictures of painted classes, and what Colors says of them."""
    generator = torch.Generator().manual_seed(0)
    label_map = torch.randint(CLASSES, (2, *SIZES[dims]), generator=generator)
    image = (PALETTE[label_map].movedim(-1, 1) + 0.1 * torch.rand(2, 3, *SIZES[dims], generator=generator)).clamp(0, 1)
    return image, Colors(dims)(image)


def parts(detection: Detection) -> dict[str, Tensor]:
    return {name: part for name, part in vars(detection).items() if part is not None}


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


@pytest.fixture(params=DETECTORS)
def detector(request: pytest.FixtureRequest, dims: SpatialDims) -> Detector:
    torch.manual_seed(0)
    return DETECTORS[request.param](dims)


@torch.no_grad()
def test_shapes_and_ranges(detector: Detector, dims: SpatialDims) -> None:
    image, prediction = scene(dims)
    judged = parts(detector(image, prediction))
    shapes = {
        "error_map": (2, *SIZES[dims]),
        "verdict": (2, *SIZES[dims]),
        "anomaly_map": (2, *SIZES[dims]),
        "class_quality": (2, CLASSES),
        "synthesis": image.shape,
    }
    assert judged.keys() & {"error_map", "anomaly_map", "class_quality"}
    for name, part in judged.items():
        assert tuple(part.shape) == tuple(shapes[name]) and part.isfinite().all(), name
    for name in judged.keys() & {"verdict", "class_quality", "synthesis"}:
        assert judged[name].min() >= 0 and judged[name].max() <= 1, name


@torch.no_grad()
def test_each_image_is_judged_alone(detector: Detector, dims: SpatialDims) -> None:
    image, prediction = scene(dims)
    together = parts(detector(image, prediction))
    for index in (0, 1):
        one = slice(index, index + 1)
        layers = tuple(layer[one] for layer in prediction.layers)
        alone = parts(detector(image[one], Prediction(prediction.logits[one], layers)))
        for name, part in together.items():
            torch.testing.assert_close(part[one], alone[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_judging_changes_nothing_and_needs_no_features(detector: Detector, dims: SpatialDims) -> None:
    image, prediction = scene(dims)
    kept = image.clone(), prediction.logits.clone()
    first = parts(detector(image, prediction))
    again = parts(detector(image, Prediction(prediction.logits)))
    assert image.equal(kept[0]) and prediction.logits.equal(kept[1])
    assert first.keys() == again.keys()
    for name, part in first.items():
        torch.testing.assert_close(part, again[name])


def test_frozen_networks_leave_no_gradient(detector: Detector, dims: SpatialDims) -> None:
    assert not any(part.requires_grad for part in parts(detector(*scene(dims))).values())


@pytest.mark.parametrize("name", LOGIT_SCORES)
@torch.no_grad()
def test_logit_scores_rise_where_the_prediction_is_torn(name: str, dims: SpatialDims) -> None:
    image, prediction = scene(dims)
    half = SIZES[dims][-1] // 2
    torn = prediction.logits.clone()
    torn[..., :half] /= 20
    detector = DETECTORS[name](dims)
    before, after = detector(image, prediction).error_map, detector(image, Prediction(torn)).error_map
    assert before is not None and after is not None
    assert (after[..., :half] > before[..., :half]).all() and after[..., half:].equal(before[..., half:])


@pytest.mark.parametrize("t", [1.0, 0.999])
@torch.no_grad()
def test_the_anomaly_map_rises_where_the_prediction_is_made_wrong(t: float, dims: SpatialDims) -> None:
    image, prediction = scene(dims)
    half = SIZES[dims][-1] // 2
    wrong = prediction.logits.clone() / 5
    wrong[..., :half] = wrong[..., :half].roll(1, dims=1)
    detector = SynthesizeThenCompare(Paint(), FeatureDistance(Colors(dims), t))
    judged = detector(image, Prediction(wrong, prediction.layers)).anomaly_map
    assert judged is not None and judged[..., :half].min() > judged[..., half:].max() + 0.1


COMPARATORS: dict[str, Callable[[SpatialDims, float], Comparator]] = {
    "feature-distance": lambda dims, t: FeatureDistance(Colors(dims), t),
    **{
        f"failure-{variant}": lambda dims, t, variant=variant: FailureComparator(  # type: ignore[misc]
            comparator(dims, variant).network, FeatureDistance(Colors(dims), t)
        )
        for variant in VARIANTS
    },
}


@pytest.mark.parametrize("name", COMPARATORS)
class TestComparator:
    """Eq. 9 and its refinement, in whichever comparator they sit."""

    @torch.no_grad()
    def test_a_perfect_drawing_is_at_distance_zero(self, name: str, dims: SpatialDims) -> None:
        image, prediction = scene(dims)
        judged = COMPARATORS[name](dims, 1.0)(image, image, prediction).anomaly_map
        assert judged is not None and judged.abs().max() < 1e-6

    @torch.no_grad()
    def test_t_of_one_is_the_distance_and_t_of_zero_is_msp(self, name: str, dims: SpatialDims) -> None:
        image, prediction = scene(dims)
        synthesis = image.flip(1)
        unrefined, msp = (COMPARATORS[name](dims, t)(image, synthesis, prediction).anomaly_map for t in (1.0, 0.0))
        assert unrefined is not None and msp is not None
        cosine = (image * synthesis).sum(1) / image.norm(dim=1) / synthesis.norm(dim=1)
        torch.testing.assert_close(unrefined, 1 - cosine, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(msp, 1 - prediction.confidence)

    @torch.no_grad()
    def test_the_refinement_by_loop(self, name: str, dims: SpatialDims) -> None:
        image, prediction = scene(dims)
        synthesis = image.roll(1, dims=1)
        c, refined = (COMPARATORS[name](dims, t)(image, synthesis, prediction).anomaly_map for t in (1.0, 0.992))
        assert c is not None and refined is not None
        p = prediction.confidence
        assert 0.1 < (p > 0.992).float().mean() < 0.9
        for distance, msp, result in zip(c.flatten(), p.flatten(), refined.flatten(), strict=True):
            assert result.item() == pytest.approx((distance if msp <= 0.992 else 1 - msp).item(), abs=1e-6)
