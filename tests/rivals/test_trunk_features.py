from __future__ import annotations

import pytest
import torch

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.feature_head import FeatureHead
from synthcp.comparison.network import ComparisonConfig
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Prediction
from synthcp.rivals.trunk_features import Surprise, TrunkFeatures, unlikeliness, whitened_features

SIZES: dict[SpatialDims, tuple[int, ...]] = {2: (32, 48), 3: (16, 24, 20)}


@pytest.fixture(params=[2, 3])
def network(request: pytest.FixtureRequest) -> FeatureHead:
    dims: SpatialDims = request.param
    torch.manual_seed(dims)
    config = ComparisonConfig(4, trunk="squeezenet1_0", uses_uncertainty=True, feature_distances=2, hidden=8)
    network = FeatureHead(dims, config).eval()
    pictures = torch.rand(4, 3, *SIZES[dims])
    network.whitening.fit(list(network.expected(network.features(pictures))))
    return network


def test_the_likelihood_is_that_of_the_standard_normal_density_but_for_a_constant() -> None:
    rows = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = -normal.log_prob(rows).mean(dim=1) + normal.log_prob(torch.tensor(0.0))
    torch.testing.assert_close(unlikeliness(rows), expected)


@torch.no_grad()
def test_the_features_are_those_that_f_is_surprised_by(network: FeatureHead) -> None:
    size = SIZES[2 if network.trunk.strides and network.enlarged == 2 else 3]
    image, logits = torch.rand(2, 3, *size), torch.randn(2, 4, *size)
    evidence = Evidence(image, None, logits, image.new_zeros(2, 2, *size))
    judged = Surprise(network)(image, Prediction(logits)).anomaly_map
    assert judged is not None and judged.equal(network.judged(evidence).surprise)  # type: ignore[arg-type]
    whitened, shown = whitened_features(network, image, logits)
    assert shown == size and whitened.shape[:2] == (2, len(network.whitening.directions))
    density = TrunkFeatures(network, unlikeliness)(image, Prediction(logits)).anomaly_map
    other = TrunkFeatures(network, unlikeliness)(image, Prediction(logits.flip(1))).anomaly_map
    assert density is not None and density.shape == (2, *size) and density.equal(other)  # type: ignore[arg-type]
    assert not judged.equal(Surprise(network)(image, Prediction(logits.flip(1))).anomaly_map)  # type: ignore[arg-type]
