"""hf:DIR_OR_REPO, the segmentation models of Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from synthcp.errors import InputError, WeightsError
from synthcp.segmentation.base import log_probabilities
from synthcp.segmentation.loaded import IMAGENET_MEAN, IMAGENET_STD, LoadedNetwork
from synthcp.system.extras import import_extra
from synthcp.system.spec import path_of

MASK_MODELS = ("mask2former", "maskformer")
PIXEL_FEATURES = "pixel_decoder_last_hidden_state"


class MaskClassifier(nn.Module):
    """A mask model read as a segmenter (semantic inference of MaskFormer, Cheng et al., NeurIPS 2021, section 3.4).

    Args:
        network: MaskFormer or Mask2Former.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return logits and the pixel decoder's features.

        The score of a class at a pixel is the sum over the queries of the query's probability of that class times its
        mask's probability of that pixel; the logits are the logarithm of the scores.
        """
        output = self.network(image)
        classes = output.class_queries_logits.softmax(dim=-1)[..., :-1]  # the last class is "no object"
        masks = output.masks_queries_logits.sigmoid()
        scores = (classes.transpose(1, 2) @ masks.flatten(start_dim=2)).unflatten(2, masks.shape[2:])
        return {"logits": log_probabilities(scores), PIXEL_FEATURES: output[PIXEL_FEATURES]}


def load_huggingface(place: str, offline: bool = False) -> LoadedNetwork:
    """Load a model of transformers.

    Args:
        place: A folder that save_pretrained wrote, which never touches the network, or a repository of the hub.
        offline: Whether the hub must not be asked, only what was fetched from it before.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: There is no such folder or repository, it holds no segmentation model, or one that is code.
        WeightsError: Its weights are missing, incomplete or only there as a pickle.
    """
    folder = path_of(place)
    is_repository = place.count("/") == 1 and place[0] not in "./~"
    if not place or not (folder.is_dir() or is_repository):
        raise InputError(f"hf:{place}: no such folder; write hf:DIR, or hf:OWNER/NAME for a repository of the hub")
    transformers = import_extra("transformers", "hf")
    local = offline or folder.is_dir()
    where = str(folder) if folder.is_dir() else place
    if folder.is_dir():
        _check_files(folder)
    with _silent(transformers), _cut_off(local):
        network, config = _model(transformers, where, local)
        mean, std = _normalisation(transformers, where, local)
    names = tuple(name for _, name in sorted((int(key), name) for key, name in config.id2label.items()))
    if config.model_type in MASK_MODELS:
        return LoadedNetwork(MaskClassifier(network), names, mean, std, PIXEL_FEATURES)
    return LoadedNetwork(network, names, mean, std)


def _check_files(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise InputError(f"hf:{folder} has no config.json; give a folder that save_pretrained wrote")
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")):
        raise WeightsError(
            f"hf:{folder} has its weights only as a pickle (.bin), which is never loaded because it can run code; "
            f'convert it with transformers: AutoModelFor...from_pretrained("{folder}").save_pretrained(NEW_FOLDER)'
        )
    raise WeightsError(f"hf:{folder} has no weights (model.safetensors); write them with save_pretrained")


def _model(transformers: Any, where: str, local: bool) -> tuple[nn.Module, Any]:
    """The network with all its weights, and its config."""
    try:
        config = transformers.AutoConfig.from_pretrained(where, local_files_only=local, trust_remote_code=False)
        masks = config.model_type in MASK_MODELS
        kind = "AutoModelForUniversalSegmentation" if masks else "AutoModelForSemanticSegmentation"
        network, report = getattr(transformers, kind).from_pretrained(
            where,
            config=config,
            local_files_only=local,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # ValueError for another kind of model, OSError for a missing one, and others
        problem = " ".join(str(error).split())[:300]
        if "trust_remote_code" in str(error):
            raise InputError(
                f"hf:{where} is made of Python code of its own (auto_map in its config.json), which is never run from "
                "there; load it in a function of yours, and give --model file.py:factory"
            ) from error
        raise InputError(
            f"hf:{where} cannot be opened as a semantic segmentation model ({problem}); give a folder of one that "
            "save_pretrained wrote, or its name on the hub"
        ) from error
    missing = sorted([*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])])
    if missing:
        raise WeightsError(
            f"hf:{where} lacks {len(missing)} weights of a segmentation model (first: {missing[0]}); "
            "give a model that was trained to segment"
        )
    return network.float(), config


def _normalisation(transformers: Any, where: str, local: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of preprocessor_config.json; ImageNet's without one."""
    try:
        settings, _ = transformers.ImageProcessingMixin.get_image_processor_dict(where, local_files_only=local)
    except OSError:
        return IMAGENET_MEAN, IMAGENET_STD
    if not settings.get("do_normalize", True):
        return (0.0,), (1.0,)
    return tuple(settings.get("image_mean", IMAGENET_MEAN)), tuple(settings.get("image_std", IMAGENET_STD))


@contextmanager
def _cut_off(offline: bool) -> Iterator[None]:
    """Keep whatever loads a model, such as a library of backbones, from the hub."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _silent(transformers: Any) -> Iterator[None]:
    """Keep transformers from telling how it loads a model, and the hub how often it was asked."""
    logging, hub = transformers.logging, getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(ERROR)
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.setLevel(level)
        if bars:
            logging.enable_progress_bar()
