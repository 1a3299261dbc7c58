"""What every detector of the catalogue promises, in 2D and 3D, as it is fitted on a run; and the laws of eq. 9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synthcp.comparison.base import Comparator, Detector
from synthcp.comparison.blend import Blend
from synthcp.comparison.failure import FailureComparator
from synthcp.comparison.feature_distance import FeatureDistance
from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector
from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.siamese import SiameseNetwork
from synthcp.comparison.synthesize_then_compare import SynthesizeThenCompare
from synthcp.config.scales import SCALES, VOLUME_SCALES, Scale
from synthcp.config.variants import VARIANTS
from synthcp.data.base import Dataset
from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import UnsuitedError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.run import begin
from synthcp.fitting.stages import M
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.spatial import SpatialDims
from synthcp.nn.trunk import TrunkShape
from synthcp.records import Detection, Prediction
from synthcp.rivals.catalogue import DETECTORS
from synthcp.segmentation.base import Segmenter
from synthcp.synthesis.base import Generator
from synthcp.system.files import save_tensors

CLASSES = 3
SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 41), 3: (8, 12, 16)}
PALETTE = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9]])
IMAGES: dict[SpatialDims, Dataset] = {
    2: Scenes(ScenesConfig(count=6, height=32, width=48)),
    3: Phantoms(PhantomsConfig(count=6, size=(16, 16, 24))),
}


def few_steps(scale: Scale) -> Scale:
    """Just enough for every network to have weights of its own."""
    return replace(
        scale,
        side=0,
        patch=scale.patch and (16, 16, 24),
        segmentation=replace(scale.segmentation, steps=3, batch=2),
        gan=replace(scale.gan, steps=2, batch=1),
        comparator=replace(scale.comparator, steps=2, batch=2),
    )


RUNS: dict[tuple[SpatialDims, bool], FitData] = {}
FITTED: dict[tuple[str, SpatialDims], Detector] = {}


@pytest.fixture(params=[2, 3])
def dims(request: pytest.FixtureRequest) -> SpatialDims:
    return 3 if request.param == 3 else 2


Runs = Callable[[bool], FitData]


@pytest.fixture
def runs(dims: SpatialDims, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """M and G of a tiny run, on which the detectors are fitted; F stands on a published trunk, or on its own."""

    def run(published: bool) -> FitData:
        if (dims, published) not in RUNS:
            folder = tmp_path_factory.mktemp(f"run{dims}{published}")
            config = FitConfig(
                scale=few_steps((SCALES if dims == 2 else VOLUME_SCALES)["tiny"]), device="cpu", precision="fp32"
            )
            stages = begin(IMAGES[dims], folder / "run", replace(config, **(trunk(dims, folder) if published else {})))
            segmenter = stages.segmenter(M)
            where = {"run": folder / "run", "folder": folder / "run", "runtime": stages.runtime}
            generators = stages.generators(segmenter)
            RUNS[dims, published] = FitData(begin=lambda: stages, live=segmenter, generators=generators, **where)
        return RUNS[dims, published]

    return run


def trunk(dims: SpatialDims, folder: Path) -> dict[str, Any]:
    torch.manual_seed(dims)
    made = new_trunk("squeezenet1_0", TrunkShape(dims, len(IMAGES[dims][0].image)))
    save_tensors(folder / "trunk.safetensors", made.state_dict())
    return {"comparator_trunk": "squeezenet1_0", "comparator_weights": folder / "trunk.safetensors"}


@pytest.fixture
def data(runs: Runs) -> FitData:
    return runs(False)


NEED_A_TRUNK = ("surprise", "trunk-density", "trunk-knn")


@pytest.fixture(params=DETECTORS)
def detector(request: pytest.FixtureRequest, dims: SpatialDims, runs: Runs) -> Detector:
    if (request.param, dims) not in FITTED:
        FITTED[request.param, dims] = DETECTORS[request.param](runs(request.param in NEED_A_TRUNK))
    return FITTED[request.param, dims]


@pytest.fixture
def pair(data: FitData, dims: SpatialDims) -> tuple[Tensor, Prediction]:
    """Two images, and what M says of them."""
    images = torch.stack([IMAGES[dims][index].image for index in (0, 3)])
    with torch.no_grad():
        return images, data.segmenter.predict("", images)


def parts(detection: Detection) -> dict[str, Tensor]:
    return {name: part for name, part in vars(detection).items() if part is not None}


@torch.no_grad()
def test_shapes_and_ranges(detector: Detector, pair: tuple[Tensor, Prediction]) -> None:
    image, prediction = pair
    judged, size = parts(detector(image, prediction)), tuple(image.shape[2:])
    shapes = {
        "error_map": (2, *size),
        "raw_error_map": (2, *size),
        "anomaly_map": (2, *size),
        "class_quality": (2, prediction.logits.shape[1]),
        "synthesis": image.shape,
    }
    assert judged.keys() & {"error_map", "anomaly_map", "class_quality"}
    for name, part in judged.items():
        assert tuple(part.shape) == tuple(shapes[name]) and part.isfinite().all(), name
    for name in judged.keys() & {"raw_error_map", "class_quality", "synthesis"}:
        assert judged[name].min() >= 0 and judged[name].max() <= 1, name


@torch.no_grad()
def test_on_a_published_trunk_the_fused_score_is_that_of_f(
    runs: Runs, pair: tuple[Tensor, Prediction], fails: Any
) -> None:
    data, (image, prediction) = runs(True), pair
    rows = {name: DETECTORS[name](data)(image, prediction) for name in ("synthcp", "fused", "fused-blind")}
    assert rows["fused"].anomaly_map is not None and rows["fused"].error_map is None
    assert rows["fused"].anomaly_map.equal(rows["synthcp"].anomaly_map)
    assert not rows["fused"].anomaly_map.equal(rows["fused-blind"].anomaly_map)
    for name in NEED_A_TRUNK:
        with fails("F stands on no published trunk", error=UnsuitedError):
            DETECTORS[name](runs(False))


@torch.no_grad()
def test_each_image_is_judged_alone(detector: Detector, pair: tuple[Tensor, Prediction]) -> None:
    image, prediction = pair
    together = parts(detector(image, prediction))
    for index in (0, 1):
        one = slice(index, index + 1)
        layers = tuple(layer[one] for layer in prediction.layers)
        alone = parts(detector(image[one], replace(prediction, logits=prediction.logits[one], layers=layers)))
        for name, part in together.items():
            torch.testing.assert_close(part[one], alone[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_judging_changes_nothing_and_needs_no_features(detector: Detector, pair: tuple[Tensor, Prediction]) -> None:
    image, prediction = pair
    kept = image.clone(), prediction.logits.clone()
    first = parts(detector(image, prediction))
    again = parts(detector(image, replace(prediction, layers=())))
    assert image.equal(kept[0]) and prediction.logits.equal(kept[1])
    assert first.keys() == again.keys()
    for name, part in first.items():
        torch.testing.assert_close(part, again[name])


def test_frozen_networks_leave_no_gradient(detector: Detector, pair: tuple[Tensor, Prediction]) -> None:
    assert not any(part.requires_grad for part in parts(detector(*pair)).values())


class Colors(Segmenter):
    """Labels every pixel by its nearest colour; the features are the pixel itself."""

    def __init__(self, dims: SpatialDims) -> None:
        super().__init__(dims, (0.0,), (1.0,))

    def forward_with_features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        return 10 * torch.einsum("lc,bc...->bl...", PALETTE, image), [image]


class Paint(Generator):
    """Paints every class in its colour."""

    def forward(self, label_map: Tensor, image: Tensor) -> Tensor:
        return PALETTE[label_map].movedim(-1, 1)


def comparator(dims: SpatialDims, variant: str) -> FailureComparator:
    chosen = VARIANTS[variant]
    config = ComparisonConfig(
        CLASSES,
        width=4,
        hidden=4,
        shared=chosen.shared,
        label_input=chosen.label_input,
        uses_uncertainty=chosen.uses_uncertainty,
        feature_distances=2,  # Colors shows one layer
    )
    network = SiameseNetwork(dims, config).eval().requires_grad_(False)
    for parameter in network.error_heads.parameters():
        torch.nn.init.normal_(parameter)  # those of ours start at zero, blind to the synthesis
    score = Blend(0.7, 0.5, 0.1) if chosen.score == "blend" else chosen.score
    return FailureComparator(network, FeatureDistance(Colors(dims)), score)


def scene(dims: SpatialDims) -> tuple[Tensor, Prediction]:
    """Two noisy pictures of painted classes, and what Colors says of them."""
    generator = torch.Generator().manual_seed(0)
    label_map = torch.randint(CLASSES, (2, *SIZES[dims]), generator=generator)
    image = (PALETTE[label_map].movedim(-1, 1) + 0.1 * torch.rand(2, 3, *SIZES[dims], generator=generator)).clamp(0, 1)
    return image, Colors(dims)(image)


@pytest.mark.parametrize("name", LOGIT_SCORES)
@torch.no_grad()
def test_logit_scores_rise_where_the_prediction_is_torn(name: str, dims: SpatialDims) -> None:
    image, prediction = scene(dims)
    half = SIZES[dims][-1] // 2
    torn = prediction.logits.clone()
    torn[..., :half] /= 20
    detector = LogitDetector(LOGIT_SCORES[name])
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
