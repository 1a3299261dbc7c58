"""F as a few small heads on the features of a frozen trunk: cheap to fit, and as good as the trunk's published weights.

The trunk sees the image, and the synthesis if there is one. It is never trained, so it looks at an image once. Every
head starts as MSP, and the quality as the one to be expected under the error map; their votes are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcp.comparison.evidence import Evidence
from synthcp.comparison.expected_quality import corrected, expected_quality
from synthcp.comparison.feature_synthesis import FeatureSynthesis, Whitening
from synthcp.comparison.logit_scores import uncertainty
from synthcp.comparison.network import ComparisonConfig, ComparisonNetwork, ComparisonOutput
from synthcp.nn.labels import one_hot
from synthcp.nn.padding import middle
from synthcp.nn.resnet import trunk_or_resnet
from synthcp.nn.spatial import SpatialDims, batch_norm, cell_means, conv, conv_unit, resize
from synthcp.nn.trunk import TrunkShape

HEADS = 3
CELL = 4
"""Side of a cell of the grid on which the heads look, in pixels of the working size."""
ENLARGED: dict[SpatialDims, int] = {2: 2, 3: 1}
"""How many times as large as the working size the trunk sees a picture: published ones learnt from larger images."""
LOOKED_AT = (1, 2)
"""Strides, in cells, of the trunk's maps that the heads see."""
EXPECTED_AT = (2, 4)
"""Of those that the syntheses expect: coarser ones, which tell what a thing is."""
DILATIONS = (1, 2, 4)
_UNCERTAINTIES = 3  # MSP log-odds, entropy, margin


class FeatureHead(ComparisonNetwork):
    """F on frozen features.

    Args:
        spatial_dims: 2 or 3.
        config: Which trunk, how wide the heads, what they see of M.
    """

    def __init__(self, spatial_dims: SpatialDims, config: ComparisonConfig) -> None:
        super().__init__(config)
        shape = TrunkShape(spatial_dims, config.in_channels, width=config.width)
        self.trunk = trunk_or_resnet(config.trunk, config.depth, shape).eval().requires_grad_(False)
        self.enlarged = ENLARGED[spatial_dims]
        self.looked_at, self.expected_at = self._maps_at(LOOKED_AT), self._maps_at(EXPECTED_AT)
        self.kept = sorted({*self.looked_at, *self.expected_at})
        seen = self._channels(self.looked_at) + len(self.looked_at) + config.feature_distances
        said = config.classes + (config.classes + _UNCERTAINTIES if config.uses_uncertainty else 0)
        self.norm = batch_norm(spatial_dims, seen + said, affine=False)
        self.heads = nn.ModuleList(_Head(spatial_dims, seen + said, config) for _ in range(HEADS))
        self.whitening = Whitening(self._channels(self.expected_at))
        kept = len(self.whitening.directions)
        self.syntheses = nn.ModuleList(
            FeatureSynthesis(spatial_dims, config.classes, kept, config.hidden) for _ in range(HEADS)
        )

    def _maps_at(self, strides: Sequence[int]) -> list[int]:
        """Indices of the trunk's maps at strides in cells."""
        wanted = [CELL * self.enlarged * stride for stride in strides]
        return [index for index, stride in enumerate(self.trunk.strides) if stride in wanted]

    def _channels(self, indices: Sequence[int]) -> int:
        return sum(self.trunk.out_channels[index] for index in indices)

    def train(self, mode: bool = True) -> FeatureHead:
        """Let the heads learn, or not; the trunk never does."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Judge (shapes: see ComparisonNetwork)."""
        return self.judged(evidence)[:2]

    def judged(self, evidence: Evidence) -> ComparisonOutput:
        """Judge, and tell the surprise (shapes: see ComparisonOutput)."""
        whole = evidence.at_least(self.config.patch)
        features = self.features(whole.image)
        seen, size = self.seen(features, self.differences(whole, features)), evidence.image.shape[2:]
        votes, quality = self.judge(seen, whole.logits)
        surprise = self.surprise(self.whitened(features), whole.logits.argmax(dim=1))
        surprise = resize(surprise[:, None], whole.image.shape[2:])[:, 0]
        return ComparisonOutput(middle(votes.mean(dim=0), size), quality, middle(surprise, size))

    @torch.no_grad()
    def features(self, picture: Tensor) -> list[Tensor]:
        """Return what the trunk sees of a picture (B, C, *S) in [0, 1]: maps (B, K, *s), fine to coarse."""
        times = self.enlarged
        maps = self.trunk(picture if times == 1 else resize(picture, [times * side for side in picture.shape[2:]]))
        return [maps[index] for index in self.kept]

    def _chosen(self, features: Sequence[Tensor], indices: Sequence[int]) -> list[Tensor]:
        return [features[self.kept.index(index)] for index in indices]

    @torch.no_grad()
    def differences(self, evidence: Evidence, features: Sequence[Tensor]) -> Tensor:
        """Return what differs between image and synthesis, shape (B, maps + feature distances, *s).

        Args:
            evidence: Without a synthesis nothing differs.
            features: Of the image.
        """
        looked, size = self._chosen(features, self.looked_at), features[0].shape[2:]
        between = [feature.new_zeros(len(feature), 1, *size) for feature in looked]
        if evidence.synthesis is not None:
            pairs = zip(looked, self._chosen(self.features(evidence.synthesis), self.looked_at), strict=True)
            between = [resize(perceptual_distance(first, second), size) for first, second in pairs]
        return torch.cat([*between, cell_means(evidence.feature_distances, size)], dim=1)

    def seen(self, features: Sequence[Tensor], differences: Tensor) -> Tensor:
        """Put together what the heads see beside M's prediction, on the grid of the finest map."""
        looked, size = self._chosen(features, self.looked_at), differences.shape[2:]
        return torch.cat([*(resize(feature.float(), size) for feature in looked), differences.float()], dim=1)

    def judge(self, seen: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Judge what was seen already.

        Args:
            seen: As `seen` returns it.
            logits: Of M, shape (B, L, *S).

        Returns:
            Log-odds of error that each head gives, (heads, B, *S), and c_iu of all together, (B, L).
        """
        doubts = uncertainty(logits) if self.config.uses_uncertainty else logits[:, :0]
        inputs = self.norm(torch.cat([seen, cell_means(said_of(logits, doubts), seen.shape[2:])], dim=1))
        votes, corrections = zip(*(head(inputs, doubts[:, :1], logits.shape[2:]) for head in self.heads), strict=True)
        log_odds = torch.stack(votes)
        expected = expected_quality(logits, log_odds.mean(dim=0).sigmoid(), self.config.measure)
        return log_odds, corrected(expected, torch.stack(corrections).mean(dim=0))

    def expected(self, features: Sequence[Tensor]) -> Tensor:
        """Return the features that the syntheses expect, on the grid of the finest map, shape (B, C, *s)."""
        size = features[0].shape[2:]
        return torch.cat([resize(map_.float(), size) for map_ in self._chosen(features, self.expected_at)], dim=1)

    def whitened(self, features: Sequence[Tensor]) -> Tensor:
        """Return the same whitened, shape (B, K, *s)."""
        whitened: Tensor = self.whitening(self.expected(features))
        return whitened

    def surprise(self, whitened: Tensor, label_map: Tensor) -> Tensor:
        """Return how little the features are those that the label map lets one expect, the mean of several syntheses.

        Args:
            whitened: As `whitened` returns it.
            label_map: y_hat, shape (B, *S).

        Returns:
            Shape (B, *s), any real number.
        """
        shares = self.shares(label_map, whitened.shape[2:])
        return torch.stack([one.surprise(whitened, shares) for one in self._synthesizers()]).mean(dim=0)

    def unlikeliness(self, whitened: Tensor, label_map: Tensor) -> Tensor:
        """Return what each synthesis of features learns to make small, the mean over all cells, shape (heads,)."""
        shares = self.shares(label_map, whitened.shape[2:])
        return torch.stack([one.unlikeliness(whitened, shares).mean() for one in self._synthesizers()])

    def shares(self, label_map: Tensor, size: Sequence[int]) -> Tensor:
        """Return the share of every class in each cell of a grid, shape (B, L, *size)."""
        return cell_means(one_hot(label_map, self.config.classes), size)

    def _synthesizers(self) -> Iterator[FeatureSynthesis]:
        for synthesis in self.syntheses:
            assert isinstance(synthesis, FeatureSynthesis)
            yield synthesis

    def embed(self, image: Tensor, logits: Tensor) -> Tensor:
        """Return the coarsest features, averaged over space (shapes: see ComparisonNetwork)."""
        return self.features(image)[-1].float().flatten(2).mean(dim=2)

    def load_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a trunk (ImageNet's, or M's own); errors as Trunk.load_weights."""
        self.trunk.load_weights(weights)


def perceptual_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared distance of features of unit length, as LPIPS takes it (Zhang et al., CVPR 2018) without its weights.

    Args:
        first: Shape (B, K, *s).
        second: Same shape.

    Returns:
        Shape (B, 1, *s), in [0, 4].
    """
    difference = F.normalize(first.float(), dim=1) - F.normalize(second.float(), dim=1)
    return difference.square().sum(dim=1, keepdim=True)


def said_of(logits: Tensor, doubts: Tensor) -> Tensor:
    """Return what M says of every pixel: y_hat, and with doubts its softmax and these, shape (B, L or 2 L + D, *S).

    Args:
        logits: Shape (B, L, *S).
        doubts: See uncertainty, shape (B, D, *S); without a channel y_hat alone is told.
    """
    layout = one_hot(logits.argmax(dim=1), logits.shape[1])
    return torch.cat([layout, logits.float().softmax(dim=1), doubts], dim=1) if doubts.shape[1] else layout


class _Head(nn.Module):
    """A small network on the grid of the features, with a dilated neighbourhood.

    Args:
        spatial_dims: 2 or 3.
        channels: Of what is seen and said.
        config: Of F.
    """

    def __init__(self, spatial_dims: SpatialDims, channels: int, config: ComparisonConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Sequential(conv(spatial_dims, channels, config.hidden, kernel=1), nn.ReLU())
        self.blocks = nn.ModuleList(
            conv_unit(spatial_dims, config.hidden, config.hidden, dilation=dilation) for dilation in DILATIONS
        )
        self.leave = conv(spatial_dims, config.hidden, 1, kernel=1)
        self.quality = nn.Linear(config.hidden, config.classes)
        self.trust = nn.Parameter(torch.ones(()))
        for parameter in (*self.leave.parameters(), *self.quality.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor, doubt: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Judge.

        Args:
            inputs: What is seen and said, normalised, shape (B, channels, *s).
            doubt: MSP's log-odds over ten, shape (B, 1 or 0, *S).
            size: S.

        Returns:
            Log-odds of error (B, *S), and by how much the log-odds of the expected quality are corrected, (B, L).
        """
        hidden = self.enter(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        log_odds = resize(self.leave(hidden).float(), size)[:, 0] + self.trust * 10 * doubt.sum(dim=1)
        return log_odds, self.quality(hidden.float().flatten(2).mean(dim=2))
