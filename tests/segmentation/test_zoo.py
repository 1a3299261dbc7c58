"""Models of torchvision and of segmentation_models_pytorch (make test-zoo)."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_model

from synthcp.errors import WeightsError
from synthcp.segmentation.loaded import IMAGENET_MEAN, IMAGENET_STD
from synthcp.segmentation.specs import open_model, reopen_model

pytestmark = pytest.mark.zoo


@pytest.fixture
def torchvision_model(tmp_path):
    """A model of torchvision with random weights, and its SPEC."""

    def build(architecture, auxiliary=False):
        from torchvision.models import get_model

        torch.manual_seed(0)
        network = get_model(
            architecture, weights=None, weights_backbone=None, num_classes=5, aux_loss=auxiliary or None
        )
        save_model(network, tmp_path / "weights.safetensors")
        return network.eval(), f"tv:{architecture}?weights={tmp_path / 'weights.safetensors'}"

    return build


@pytest.fixture
def smp_model(tmp_path):
    """A model of segmentation_models_pytorch with random weights, and its SPEC."""

    def build(architecture, encoder="resnet18"):
        import segmentation_models_pytorch as smp

        torch.manual_seed(0)
        network = smp.create_model(architecture, encoder, encoder_weights=None, classes=5)
        save_model(network, tmp_path / "weights.safetensors")
        return network.eval(), f"smp:{architecture}/{encoder}?weights={tmp_path / 'weights.safetensors'}"

    return build


def normalised(image):
    return (image - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


@pytest.mark.parametrize(
    ("architecture", "auxiliary", "channels"),
    [
        ("fcn_resnet50", True, 512),
        ("fcn_resnet50", False, 512),
        ("deeplabv3_mobilenet_v3_large", True, 256),
    ],
)
@torch.no_grad()
def test_torchvision(architecture, auxiliary, channels, torchvision_model, classes, probe):
    network, spec = torchvision_model(architecture, auxiliary)
    segmenter, settings = open_model(spec, classes, probe)
    assert settings.features == "classifier.4"
    prediction = segmenter.predict("", probe)
    torch.testing.assert_close(prediction.logits, network(normalised(probe))["out"])
    assert prediction.features.shape[1] == channels
    assert reopen_model(settings, classes, 3).predictor.feature_name == "classifier.4"


def test_the_two_heads_of_lraspp_are_a_question(torchvision_model, classes, probe, fails):
    _, spec = torchvision_model("lraspp_mobilenet_v3_large")
    with fails("classifier.low_classifier", "classifier.high_classifier", "--features MODULE"):
        open_model(spec, classes, probe)
    segmenter, _ = open_model(spec, classes, probe, "classifier.high_classifier")
    assert segmenter.predict("", probe).features.shape[1] == 128


@pytest.mark.parametrize(
    ("architecture", "encoder", "channels"),
    [("Unet", "resnet18", 16), ("DeepLabV3Plus", "resnet18", 256), ("Segformer", "mit_b0", 256)],
)
@torch.no_grad()
def test_smp(architecture, encoder, channels, smp_model, classes, probe):
    network, spec = smp_model(architecture, encoder)
    segmenter, settings = open_model(spec, classes, probe)
    assert settings.features == "segmentation_head.0"
    prediction = segmenter.predict("", probe)
    torch.testing.assert_close(prediction.logits, network(normalised(probe)))
    assert prediction.features.shape[1] == channels


def test_names_and_weights_that_are_wrong(torchvision_model, smp_model, classes, probe, fails, tmp_path):
    _, unet = smp_model("Unet")
    weights = unet.partition("=")[2]
    with fails("torchvision has no such model", "did you mean fcn_resnet50?"):
        open_model(f"tv:fcn_resnet5?weights={weights}", classes, probe)
    with fails("tv:fcn_resnet50 needs the weights of your model", "?weights=FILE.safetensors"):
        open_model("tv:fcn_resnet50", classes, probe)
    with fails("smp:Unet: write smp:ARCH/ENCODER"):
        open_model(f"smp:Unet?weights={weights}", classes, probe)
    with fails("smp:Unet/resnet181 cannot be built (", "resnet181", "correct the name, or give weights of it"):
        open_model(f"smp:Unet/resnet181?weights={weights}", classes, probe)
    with fails("has no weights of a classifier", "tv:fcn_resnet50", error=WeightsError):
        open_model(f"tv:fcn_resnet50?weights={weights}", classes, probe)
    with fails("does not fit smp:Unet/resnet34", "first difference", error=WeightsError):
        open_model(f"smp:Unet/resnet34?weights={weights}", classes, probe)
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pth")
    with fails("is a pickle", "convert it once: safetensors.torch.save_file", error=WeightsError):
        open_model(f"smp:Unet/resnet18?weights={tmp_path / 'weights.pth'}", classes, probe)
