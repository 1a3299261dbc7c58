"""What a fit refuses before it starts; the fit itself is tested where its monitor is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import InputError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.gathering import fold_segmenter
from synthcp.fitting.imperfect_sources import Corrupt, Folds, HeldOut, Imperfect, KFold, Unseen
from synthcp.fitting.run import begin as begin_stages
from synthcp.fitting.run import fit
from synthcp.fitting.stages import Stages
from synthcp.nn.catalogue import new_trunk
from synthcp.nn.resnet import ResNet, ResNetConfig
from synthcp.nn.trunk import TrunkShape
from synthcp.records import Sample
from synthcp.system.files import load_json, load_tensors, save_tensors
from synthcp.system.run_folder import clear_up


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Begin a fit of four scenes and break it off before its first stage."""

    def run(options: FitConfig, count: int = 4) -> None:
        scenes = Scenes(ScenesConfig(count=count, height=48, width=64))
        fit(scenes, str(tmp_path / "run"), replace(options, device="cpu"))

    monkeypatch.setattr(Stages, "run", lambda self: None)
    return run


TINY = FitConfig(scale="tiny", precision="fp32")


def test_a_folder_that_holds_a_run_is_not_touched(begin: Callable[..., None]) -> None:
    begin(TINY)
    with pytest.raises(InputError, match="holds a run already; continue it with --resume or choose another folder"):
        begin(TINY)
    begin(replace(TINY, resume=True))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Those of torchvision's ResNet-18, as narrow as the tiny scale."""
    torch.manual_seed(1)
    trunk = {
        key: torch.rand_like(value.float()) for key, value in ResNet(2, ResNetConfig(width=8)).state_dict().items()
    }
    save_tensors(
        tmp_path / "resnet18.safetensors", trunk | {"fc.weight": torch.zeros(10, 64), "fc.bias": torch.ones(10)}
    )
    return tmp_path / "resnet18.safetensors"


@pytest.fixture
def others(weights: Path, tmp_path: Path) -> dict[str, object]:
    """Another value of every option."""
    return {
        "variant": "paper",
        "scale": "small",
        "seed": 1,
        "controls": False,
        "resume": True,
        "device": "auto",
        "precision": "bf16",
        "generator": "pix2pixhd",
        "perceptual": "resnet18",
        "perceptual_weights": weights.with_name("other.safetensors"),
        "trunk": "squeezenet1_0",
        "comparator_trunk": "squeezenet1_0",
        "comparator_weights": weights.with_name("other.safetensors"),
        "model": "resnet",
        "features": "1",
        "imperfect": KFold(2),
        "labels": "none",
        "weights": weights,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("", None)),
        ({"perceptual": "segmenter"}, ("", None)),
        ({"comparator_trunk": "vgg16", "comparator_weights": "f.st"}, ("vgg16", "f.st")),
        ({"comparator_trunk": "vgg16", "comparator_weights": "f.st", "perceptual": "segmenter"}, ("", None)),
        (
            {"comparator_trunk": "vgg16", "comparator_weights": "f.st"}
            | {"perceptual": "vgg19", "perceptual_weights": "g.st"},
            ("vgg19", "g.st"),
        ),
        ({"variant": "paper", "comparator_trunk": "vgg16"}, ("", None)),
    ],
)
def test_g_is_shown_the_published_trunk_of_f_unless_another_network_is_named(
    options: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    assert FitConfig(**options).perceptual_source == expected


@pytest.fixture
def trunks(tmp_path: Path) -> dict[str, Any]:
    """F's encoder and the network of G's loss, from weights as torchvision and efficientnet-lite-pytorch name them."""
    torch.manual_seed(2)
    chosen = {"comparator": "efficientnet_lite0", "perceptual": "squeezenet1_0"}
    for name in chosen.values():
        save_tensors(tmp_path / f"{name}.safetensors", new_trunk(name, TrunkShape(2)).state_dict())
    files = {name: tmp_path / f"{name}.safetensors" for name in chosen.values()}
    return {
        "comparator_trunk": chosen["comparator"],
        "comparator_weights": files[chosen["comparator"]],
        "perceptual": chosen["perceptual"],
        "perceptual_weights": files[chosen["perceptual"]],
    }


@pytest.mark.parametrize("name", [field.name for field in fields(FitConfig)])
def test_a_run_is_resumed_with_every_option_that_it_was_begun_with(
    begin: Callable[..., None], others: dict[str, object], trunks: dict[str, Any], fails: Any, name: str
) -> None:
    brought = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 9, 1), nn.Conv2d(9, 9, 1))
    held_out = HeldOut(Scenes(ScenesConfig(3, 48, 64, split="val")))
    bringing: dict[str, Imperfect] = {"features": held_out, "labels": Unseen()}
    first = replace(TINY, model=brought, imperfect=bringing[name]) if name in bringing else TINY
    if name.startswith(("comparator", "perceptual")):
        first = replace(TINY, **trunks)
    begin(first)
    changed = replace(first, **{"resume": True, name: others[name]})
    if name in ("resume", "device"):
        begin(changed)
        return
    with fails("was begun with", f" {name}", "resume with the same"):
        begin(changed)


@pytest.mark.parametrize(
    ("source", "other"),
    [
        (KFold(), KFold(rule="contiguous")),
        (KFold(), Corrupt()),
        (HeldOut(Scenes(ScenesConfig(3, 48, 64, split="val"))), HeldOut(Scenes(ScenesConfig(4, 48, 64, split="val")))),
    ],
)
def test_a_run_is_resumed_with_its_imperfect_predictions(
    begin: Callable[..., None], fails: Any, source: Imperfect, other: Imperfect
) -> None:
    begin(replace(TINY, imperfect=source))
    with fails("was begun with another imperfect; resume with the same"):
        begin(replace(TINY, imperfect=other, resume=True))


def test_a_run_is_resumed_on_its_images_and_as_it_is_named_or_spelt_out(begin: Callable[..., None], fails: Any) -> None:
    begin(TINY)
    begin(
        replace(TINY, variant=VARIANTS["ours"], scale=SCALES["tiny"], imperfect=KFold(), model="deeplab", resume=True)
    )
    with fails("was begun with another training_ids; resume with the same"):
        begin(replace(TINY, resume=True), 5)


def test_predictions_that_are_not_there_are_missed_before_anything_is_trained(
    begin: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    for number in (0, 1, 3):
        Image.new("L", (64, 48)).save(folder / f"train-000{number}.png")
    with pytest.raises(InputError, match=r"no prediction of 1 of the 4 images \(first: train-0002\)"):
        begin(replace(TINY, imperfect=Folds(folder)))
    held_out = HeldOut(Scenes(ScenesConfig(count=3, height=48, width=64, split="val")))
    with pytest.raises(InputError, match=r"no prediction of 3 of the 3 images \(first: val-0000\)"):
        begin(replace(TINY, model=f"preds:{folder}", imperfect=held_out))
    (folder / "train-0002.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"train-0002.png is not an image"):
        begin(replace(TINY, imperfect=Folds(folder)))
    assert not (tmp_path / "run").exists()


def test_a_finished_run_keeps_nothing_that_only_a_fit_needs(tmp_path: Path) -> None:
    kept = ("segmenter.safetensors", "controls/direct.safetensors", "monitor.json", "notes.tmp")
    left = (
        "generator.checkpoint.safetensors",
        "fold1-seed1.safetensors",
        "controls/.77.partial.direct.safetensors",
        "imperfect/last-000000.safetensors",
    )
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clear_up(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_the_fold_rule_of_a_fit_comes_before_that_of_its_variant(begin: Callable[..., None], tmp_path: Path) -> None:
    begin(replace(TINY, imperfect=KFold(2, rule="group")), count=11)  # the eleventh scene is of another drive
    settings = load_json(tmp_path / "run" / "config.json")["settings"]
    assert settings["variant"]["fold_rule"] == "group" != VARIANTS["ours"].fold_rule
    assert settings["facts"]["imperfect predictions"] == "kfold:2?rule=group"


class Grey(Scenes):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, image=sample.image[:1])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"variant": "mine"}, "variant 'mine' is unknown; choose one of paper, official, ours"),
        ({"scale": "huge"}, "scale 'huge' is unknown; choose one of tiny, small, full"),
        ({"generator": "spad"}, "generator 'spad' is unknown; choose one of spade, pix2pixhd, styled"),
        ({"imperfect": KFold(5)}, "4 images cannot make 5 folds; use fewer folds"),
        ({"imperfect": KFold(2, rule="group")}, "1 group cannot make 2 folds"),
        ({"imperfect": "heldout"}, "imperfect='heldout'; give KFold"),
        ({"features": "head"}, "for the built-in one leave them out"),
        ({"trunk": "resnet1"}, "trunk 'resnet1' is unknown; did you mean resnet1"),
        ({"comparator_trunk": "vgg"}, "trunk 'vgg' is unknown; did you mean vgg1"),
        ({"perceptual": "vgg18"}, "trunk 'vgg18' is unknown; did you mean vgg1"),
        ({"model": "unet", "trunk": "vgg16"}, "unet has no trunk to choose; leave vgg16 out, or fit one of deeplab"),
        ({"model": "fcn8", "trunk": "resnet18"}, "fcn8 is built on vgg16 or vgg19, not on resnet18; name one of these"),
        ({"comparator_weights": "hub"}, "comparator weights 'hub' are those of a trunk; name it, such as resnet18"),
        ({"perceptual_weights": Path("a.st")}, "perceptual weights 'a.st' are those of a trunk; name it"),
        (
            {"perceptual_weights": Path("a.st"), "comparator_trunk": "vgg16", "comparator_weights": "b.st"},
            "perceptual weights 'a.st' are those of a trunk; name it",
        ),
        ({"perceptual": "vgg19"}, "vgg19 compares images by what it has learnt; give its perceptual weights"),
        ({"perceptual": "vgg19", "perceptual_weights": "nowhere"}, "nowhere does not exist; give a safetensors"),
        ({"comparator_trunk": "vgg16", "comparator_weights": "nowhere"}, "nowhere does not exist; give a safetensors"),
        ({"trunk": "vgg16", "weights": "nowhere"}, "nowhere does not exist; give a safetensors"),
        ({"weights": "hub"}, "weights 'hub' are those of a trunk by its name; name the trunk, such as resnet50"),
        ({"model": "preds:x", "trunk": "vgg16"}, "a trunk is for a model that is fitted here; yours has its own"),
        ({"imperfect": HeldOut(Scenes(ScenesConfig(1, 48, 64, split="val")))}, "val-0000 alone is too little for F"),
        ({"imperfect": HeldOut(Grey(ScenesConfig(2, 48, 64, split="val")))}, "3 channels, the held-out ones 1"),
    ],
)
def test_what_is_refused_before_training(
    begin: Callable[..., None], tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        begin(replace(TINY, **changes))
    assert not (tmp_path / "run").exists()


def test_m_and_the_m_of_every_fold_start_from_the_weights(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("synthcp.fitting.fit_once.train", lambda training, *_: started.append(training.segmenter))
    options = replace(TINY, weights=weights, device="cpu", precision="fp32")
    stages = begin_stages(Scenes(ScenesConfig(4, 48, 64)), tmp_path / "run", options)
    stages.segmenter("segmenter")
    fold_segmenter(stages.context, "fold0", held_out=[0, 2])
    assert stages.settings.model.in_words().endswith(f"; starts from {weights}")
    expected, _ = load_tensors(weights)
    first, second = (segmenter.trunk.state_dict() for segmenter in started)
    for key, value in expected.items():
        if not key.startswith("fc.") and "num_batches" not in key:
            assert first[key].equal(value) and second[key].equal(value)


@pytest.mark.parametrize(
    ("model", "texts"),
    [
        ("resnet", ("resnet18.safetensors: weights do not fit ResNet-18", "unknown ['body.")),
        ("fcn8", ("resnet18.safetensors: weights do not fit FCN-8: classifier.0.weight is missing",)),
    ],
)
def test_weights_of_another_network_are_refused_before_training(
    begin: Callable[..., None], weights: Path, tmp_path: Path, fails: Any, model: str, texts: tuple[str, ...]
) -> None:
    tensors, _ = load_tensors(weights)
    save_tensors(weights, {f"body.{key}": value for key, value in tensors.items()})
    with fails(*texts):
        begin(replace(TINY, model=model, weights=weights))
    with fails("nowhere.safetensors does not exist; give a safetensors file"):
        begin(replace(TINY, weights=tmp_path / "nowhere.safetensors"))
    assert not (tmp_path / "run").exists()


def test_weights_are_for_a_model_that_is_fitted_here(fails: Any) -> None:
    for model in ("hf:somewhere", lambda image: image):
        with fails("weights are for a model that is fitted here"):
            FitConfig(model=model, weights=Path("any.safetensors"))


def test_an_image_too_long_to_be_seen_as_a_whole_is_refused_before_a_model_is_tried(tmp_path: Path, fails: Any) -> None:
    class Narrow(Scenes):
        def __getitem__(self, index: int) -> Sample:
            return replace(super().__getitem__(index), image=torch.rand(3, 513, 16))

    with fails("the image is (513, 16), more than 32 times as long as wide", "cut it"):
        fit(Narrow(ScenesConfig(count=4, height=48, width=64)), tmp_path / "run", TINY)
