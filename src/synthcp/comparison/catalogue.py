"""The networks F, one line each; none is imported before it is built, for torch comes with it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthcp.comparison.network import ComparisonConfig, ComparisonNetwork
    from synthcp.nn.spatial import SpatialDims

FEATURE_HEAD = "feature_head"
"""The network whose trunk is never trained, and so must have learnt before."""

SIAMESE = "siamese"
"""The paper's."""

UNCERTAINTY = "uncertainty"
"""M's own uncertainty, which learns nothing and so needs no labels."""

COMPARATORS: dict[str, str] = {
    SIAMESE: "synthcp.comparison.siamese:SiameseNetwork",
    FEATURE_HEAD: "synthcp.comparison.feature_head:FeatureHead",
    UNCERTAINTY: "synthcp.comparison.uncertainty_network:UncertaintyNetwork",
}
"""The class of each network, built from the number of dimensions and a ComparisonConfig."""


def new_comparator(name: str, spatial_dims: SpatialDims, config: ComparisonConfig) -> ComparisonNetwork:
    """Return one of COMPARATORS with fresh weights."""
    build: Callable[[SpatialDims, ComparisonConfig], ComparisonNetwork] = pkgutil.resolve_name(COMPARATORS[name])
    return build(spatial_dims, config)
