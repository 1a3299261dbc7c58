from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from synthcp.errors import InputError
from synthcp.segmentation.onnx_file import load_onnx
from synthcp.segmentation.specs import open_model, reopen_model


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1)]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=2, mode="bilinear")).eval()


@pytest.fixture
def export(tmp_path):
    """Write a network as ONNX, with any size of image or a fixed one."""

    def write(network: nn.Module, free: tuple[int, ...] = (0, 2, 3), image: Tensor | None = None):
        path = tmp_path / "model.onnx"
        axes = {"image": {axis: f"axis{axis}" for axis in free}}
        given = torch.rand(1, 3, 32, 48) if image is None else image
        names = {"input_names": ["image"], "output_names": ["logits"], "dynamic_axes": axes}
        with warnings.catch_warnings(action="ignore"):  # the exporter's own
            torch.onnx.export(network, (given,), path, dynamo=False, **names)
        return path

    return write


def test_logits_and_features_are_those_of_torch(network, export, classes, probe):
    segmenter, settings = open_model(f"onnx:{export(network)}", classes, probe)
    images = torch.rand(3, 3, 40, 56)
    prediction = segmenter.predict("", images)
    torch.testing.assert_close(prediction.logits, network(images), atol=1e-4, rtol=0)
    torch.testing.assert_close(prediction.features, network[:3](images), atol=1e-4, rtol=0)
    assert not segmenter.differentiable
    assert settings.features == "/2/Relu_output_0" and len(settings.fingerprint) == 32


def test_the_newer_exporter_too(network, tmp_path, classes, probe):
    path = tmp_path / "model.onnx"
    sizes = ({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)
    with warnings.catch_warnings(action="ignore"):  # the exporter's own
        torch.onnx.export(network, (torch.rand(2, 3, 32, 48),), path, dynamic_shapes=sizes, verbose=False)
    segmenter, settings = open_model(f"onnx:{path}", classes, probe)
    torch.testing.assert_close(segmenter.predict("", probe).features, network[:3](probe), atol=1e-4, rtol=0)
    weights = tmp_path / "model.onnx.data"  # beside the file, and part of the fingerprint
    changed = bytearray(weights.read_bytes())
    changed[3] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(InputError, match="have changed since the fit"):
        reopen_model(settings, classes, 3)


def test_a_transformers_model_as_onnx(huggingface, joined, export, classes):
    from transformers import SegformerForSemanticSegmentation as Segformer

    torch.manual_seed(0)
    segformer = Segformer.from_pretrained(huggingface("segformer")).eval()
    network = joined(lambda network, image: network.inner(image).logits, inner=segformer)
    image = torch.rand(1, 3, 64, 96)
    there, _ = open_model(network, classes, image)
    exported, _ = open_model(f"onnx:{export(network, (), image)}", classes, image)
    ours, theirs = exported.predict("", image), there.predict("", image)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.features, theirs.features, atol=1e-4, rtol=0)


def test_a_linear_head(joined, export, classes, probe):
    network = joined(
        lambda network, image: network.head(network.body(image).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
        body=nn.Conv2d(3, 6, 8, stride=8),
        head=nn.Linear(6, 5),
    ).eval()
    segmenter, _ = open_model(f"onnx:{export(network)}", classes, probe)
    torch.testing.assert_close(segmenter.predict("", probe).features, network.body(probe), atol=1e-4, rtol=0)


def test_a_fixed_batch_of_one_is_fed_one_by_one(network, export):
    loaded = load_onnx(str(export(network, free=(2, 3))))
    images = torch.rand(3, 3, 32, 48)
    output = loaded.network(images)
    torch.testing.assert_close(output["logits"], network(images), atol=1e-4, rtol=0)
    assert output[loaded.features].shape == (3, 8, 16, 24)


def test_a_fixed_size_is_named_with_its_remedy(network, export, classes, probe, fails):
    path = export(network, free=())
    with fails("wants images of 32x48, this one is 64x96; add ?input=resize:32x48"):
        open_model(f"onnx:{path}", classes, probe)
    segmenter, _ = open_model(f"onnx:{path}?input=resize:32x48", classes, probe)
    assert segmenter.predict("", probe).logits.shape == (1, 5, 32, 48)


def test_other_fixed_things(network, export, classes, probe, fails):
    with fails("wants 3 channels, the image has 1"):
        open_model(f"onnx:{export(network)}", classes, probe[:, :1])
    with fails("wants batches of 2; export it with a batch of 1 or any"):
        open_model(f"onnx:{export(network, (2, 3), torch.rand(2, 3, 32, 48))}", classes, probe)
    with fails("wants 4 axes, an image batch has 5"):
        open_model(f"onnx:{export(network)}", classes, probe[:, :, None])


def test_half_precision(network, export, classes, probe):
    path = export(network.half(), image=torch.rand(1, 3, 32, 48).half())
    segmenter, _ = open_model(f"onnx:{path}", classes, probe)
    prediction = segmenter.predict("", probe)
    assert prediction.logits.dtype == prediction.features.dtype == torch.float32
    torch.testing.assert_close(prediction.logits, network.float()(probe), atol=0.02, rtol=0)


def test_branches_that_meet_are_a_question(joined, export, classes, probe, fails):
    def branches(network: nn.Module, image: Tensor) -> Tensor:
        features = network.body(image)
        return network.one(features) + network.two(features.relu())

    layers = {"body": nn.Conv2d(3, 6, 1), "one": nn.Conv2d(6, 5, 1), "two": nn.Conv2d(6, 5, 1)}
    network = joined(branches, **layers).eval()
    path = export(network)
    with fails("its logits come out of Add", "--features TENSOR (such as /Relu_output_0", "--features logits"):
        open_model(f"onnx:{path}", classes, probe)
    with fails("has no tensor 'relu'; choose one of: /Relu_output_0"):
        open_model(f"onnx:{path}", classes, probe, "relu")
    segmenter, settings = open_model(f"onnx:{path}", classes, probe, "/Relu_output_0")
    torch.testing.assert_close(segmenter.predict("", probe).features, network.body(probe).relu(), atol=1e-4, rtol=0)
    assert reopen_model(settings, classes, 3).predictor.feature_name == "/Relu_output_0"
    segmenter, _ = open_model(f"onnx:{path}", classes, probe, "logits")
    torch.testing.assert_close(segmenter.predict("", probe).features, network(probe), atol=1e-4, rtol=0)


def test_a_file_that_is_no_model(tmp_path, fails):
    with fails("nowhere.onnx: no such file"):
        load_onnx(str(tmp_path / "nowhere.onnx"))
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(100))
    with fails("noise.onnx cannot be opened"):
        load_onnx(str(tmp_path / "noise.onnx"))


class Kept(nn.Module):
    """A network whose images come in as TensorFlow has them, or as whole numbers."""

    def __init__(self, network: nn.Module, before) -> None:
        super().__init__()
        self.network = network
        self.before = before

    def forward(self, image: Tensor) -> Tensor:
        return self.network(self.before(image))


@pytest.mark.parametrize("free", [(0, 1, 2), ()])
def test_channels_last_are_told_with_a_remedy_that_is_no_size(free, network, export, classes, probe, fails):
    last = Kept(network, lambda image: image.permute(0, 3, 1, 2)).eval()
    path = export(last, free, torch.rand(1, 32, 48, 3))
    shape = "anyxanyxanyx3" if free else "1x32x48x3"
    with fails(f"wants its channels last ({shape})", "export it so: tf2onnx --inputs-as-nchw image"):
        open_model(f"onnx:{path}", classes, probe)


def test_whole_numbers_are_fed_to_a_file_that_wants_them(network, export, classes, probe, fails):
    bytes_first = Kept(network, lambda image: image.float() / 255).eval()
    path = export(bytes_first, image=torch.randint(256, (1, 3, 32, 48), dtype=torch.uint8))
    segmenter, _ = open_model(f"onnx:{path}", classes, probe)
    expected = network((255 * probe).round() / 255)
    torch.testing.assert_close(segmenter.predict("", probe).logits, expected, atol=1e-4, rtol=0)
    with fails("wants whole numbers (uint8) and normalises by itself; leave mean and std out"):
        open_model(f"onnx:{path}?mean=0.5&std=0.25", classes, probe)


def test_other_types_of_number_are_refused_by_their_name(network, export, classes, probe, fails):
    whole = Kept(network, lambda image: image.float()).eval()
    path = export(whole, image=torch.zeros(1, 3, 32, 48, dtype=torch.int32))
    with fails("wants images as tensor(int32); export it with an input of one of tensor(float), tensor(float16)"):
        open_model(f"onnx:{path}", classes, probe)


def test_half_precision_of_a_fixed_size_has_the_remedy_of_its_size(network, export, classes, probe, fails):
    path = export(network.half(), (), torch.rand(1, 3, 32, 48).half())
    with fails("wants images of 32x48, this one is 64x96; add ?input=resize:32x48"):
        open_model(f"onnx:{path}", classes, probe)
    assert open_model(f"onnx:{path}?input=resize:32x48", classes, probe).predictor.returns == "logits"


@pytest.mark.parametrize(
    ("end", "returns"), [(nn.Softmax(dim=1), "probabilities"), (nn.Sigmoid(), "sigmoid"), (nn.Identity(), "logits")]
)
def test_an_activation_behind_the_logits_hides_no_features(end, returns, network, export, classes, probe):
    segmenter, settings = open_model(f"onnx:{export(nn.Sequential(*network, end).eval())}", classes, probe)
    assert segmenter.returns == returns and settings.features == "/2/Relu_output_0"
