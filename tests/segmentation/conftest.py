"""Small networks with random weights, as users bring them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synthcp.records import Classes

NAMES = ("sky", "road", "car", "tree", "person")
Saved = Callable[[str], Path]


@pytest.fixture(scope="session")
def classes() -> Classes:
    """Five classes with colours of their own."""
    return Classes(NAMES, tuple((40 * index, 255 - 30 * index, 7) for index in range(5)))


@pytest.fixture
def probe() -> Tensor:
    """An image that is not square, of a batch of one."""
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def network() -> nn.Module:
    """A plain network: two convolutions, half the size, five classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1)).eval()


class Joined(nn.Module):
    """Layers by their names, and the function of them and an image that joins them."""

    def __init__(self, join: Callable[[nn.Module, Tensor], object], **layers: nn.Module) -> None:
        super().__init__()
        self.join = join
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, image: Tensor) -> object:
        return self.join(self, image)


@pytest.fixture
def joined() -> type[Joined]:
    """What makes a network of a function and layers."""
    return Joined


@pytest.fixture
def two_layers() -> Callable[..., nn.Module]:
    """A network of a function, a body of four channels and a head of five classes."""
    return lambda join: Joined(join, body=nn.Conv2d(3, 4, 1), head=nn.Conv2d(4, 5, 1))


@pytest.fixture(scope="session")
def huggingface(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A folder with a model of transformers, by its name."""
    folder = tmp_path_factory.mktemp("huggingface")

    def save(name: str) -> Path:
        if not (folder / name).exists():
            torch.manual_seed(0)
            _build(name).save_pretrained(folder / name)
        return folder / name

    return save


def _build(name: str):
    import transformers as t

    stages = {"depths": [1, 1, 1, 1], "out_features": ["stage1", "stage2", "stage3", "stage4"]}
    convnext = t.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], **stages)
    swin = t.SwinConfig(embed_dim=8, num_heads=[1, 1, 2, 2], window_size=4, **stages)
    detr = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    mask = {"backbone_config": swin, "mask_feature_size": 32, "num_labels": len(NAMES)}
    match name:
        case "segformer":
            small = {"hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16}
            config = t.SegformerConfig(num_labels=len(NAMES), depths=[1, 1, 1, 1], **small)
            return t.SegformerForSemanticSegmentation(config)
        case "upernet":
            small = {"hidden_size": 16, "auxiliary_in_channels": 16, "auxiliary_channels": 8, "pool_scales": [1, 2]}
            config = t.UperNetConfig(backbone_config=convnext, num_labels=len(NAMES), **small)
            return t.UperNetForSemanticSegmentation(config)
        case "dpt":
            small = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8}
            config = t.DPTConfig(num_labels=len(NAMES), image_size=64, patch_size=16, **sizes, **small)
            return t.DPTForSemanticSegmentation(config)
        case "mask2former":
            small = {"feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 16, "dim_feedforward": 16}
            layers = {"encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 7}
            return t.Mask2FormerForUniversalSegmentation(t.Mask2FormerConfig(**mask, **small, **layers))
        case "maskformer":
            decoder = t.DetrConfig(d_model=16, num_queries=7, **detr, **heads)
            config = t.MaskFormerConfig(fpn_feature_size=32, decoder_config=decoder, **mask)
            return t.MaskFormerForInstanceSegmentation(config)
        case _:
            config = t.SegformerConfig(num_labels=len(NAMES), depths=[1] * 4, hidden_sizes=[8, 8, 16, 16])
            return t.SegformerForImageClassification(config)
