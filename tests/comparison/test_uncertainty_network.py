from __future__ import annotations

import pytest
import torch

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.expected_quality import expected_quality
from synthcp.comparison.network import ComparisonConfig
from synthcp.comparison.uncertainty_network import UncertaintyNetwork
from synthcp.records import Measure

SIZES = {2: (5, 7), 3: (3, 4, 5)}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("measure", ["IoU", "Dice"])
def test_the_error_map_is_one_minus_msp_and_the_quality_follows_from_it(dims: int, measure: Measure) -> None:
    size = SIZES[dims]
    logits = 3 * torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(dims))
    image = torch.zeros(2, 3, *size)
    network = UncertaintyNetwork(2 if dims == 2 else 3, ComparisonConfig(4, measure=measure))
    log_odds, quality = network(Evidence(image, None, logits, image[:, :0]))
    msp = 1 - logits.softmax(dim=1).amax(dim=1)
    torch.testing.assert_close(log_odds.sigmoid(), msp)
    torch.testing.assert_close(quality, expected_quality(logits, msp, measure))
    assert network.embed(image, logits).shape == (2, 4)
    network.temperature.fill_(2.0)
    halved = network(Evidence(image, None, logits, image[:, :0]))[0]
    torch.testing.assert_close(halved.sigmoid(), 1 - (logits / 2).softmax(dim=1).amax(dim=1))
