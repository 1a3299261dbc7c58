"""Where the imperfect predictions come from that F learns from (section 3.2 of the paper: k folds)."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from synthcp.config.variants import Variant
from synthcp.data.base import Dataset
from synthcp.data.specs import is_folder, open_dataset
from synthcp.errors import InputError
from synthcp.nn.spatial import dims_of
from synthcp.segmentation.saved import SavedPredictions
from synthcp.system.files import save_text
from synthcp.system.spec import Spec, choice, choices, up_to, values
from synthcp.training.imperfect_predictions import FoldRule

CHOICES = "heldout[:SPEC], unseen, folds:DIR, kfold:4 with --train-cmd, or corrupt"
PLACES = ("{train_list}", "{val_list}", "{out}")


@dataclass(frozen=True)
class KFold:
    """M is trained again for each fold, without it, and predicts it.

    Attributes:
        folds: k; 0 takes the scale's.
        command: Of a program that trains a model somebody brought, with {train_list}, {val_list} and {out} in it; empty
            for the built-in M.
        rule: How the images are divided; None takes the variant's.

    Raises:
        InputError: There is one fold only, or no such rule.
    """

    folds: int = 0
    command: str = ""
    rule: FoldRule | None = None

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise InputError("1 fold leaves no image to train on; use 2 folds or more")
        if self.rule is not None and self.rule not in get_args(FoldRule):
            raise InputError(f"fold rule {self.rule!r} is unknown; {choices(self.rule, get_args(FoldRule))}")

    def ruled(self, variant: Variant) -> Variant:
        """Return a variant with the rule of these folds, if they have one of their own."""
        return replace(variant, fold_rule=self.rule or variant.fold_rule)

    def __str__(self) -> str:
        return "kfold" + (f":{self.folds}" if self.folds else "") + (f"?rule={self.rule}" if self.rule else "")


@dataclass(frozen=True)
class HeldOut:
    """M predicts labelled images that it has never seen.

    Attributes:
        dataset: These images.
    """

    dataset: Dataset

    def __str__(self) -> str:
        return "heldout"


@dataclass(frozen=True)
class Unseen:
    """M predicts the training images themselves, of which it has seen none; G and F both learn from all of them.

    Attributes:
        crossfit: "group": F is shown syntheses by a G that has not seen the group of the image, one G for each fold of
            groups beside that of the monitor; "" shows those of the monitor's G, which has seen the image.

    Raises:
        InputError: The images cannot be cross-fitted like that.
    """

    crossfit: Literal["", "group"] = ""

    def __post_init__(self) -> None:
        if self.crossfit not in ("", "group"):
            raise InputError(f"crossfit={self.crossfit!r}: G is cross-fitted by groups only; write 'group', or nothing")

    def __str__(self) -> str:
        return "unseen" + (f"?crossfit={self.crossfit}" if self.crossfit else "")


@dataclass(frozen=True)
class Folds:
    """Out-of-fold predictions of the training images, made before.

    Attributes:
        folder: Of the predictions, in any layout that preds: reads.
    """

    folder: Path

    def __str__(self) -> str:
        return f"folds:{self.folder}"


@dataclass(frozen=True)
class Corrupt:
    """Ground truth with mistakes drawn into it: the weakest choice, since a model errs in ways of its own."""

    def __str__(self) -> str:
        return "corrupt"


Imperfect = KFold | HeldOut | Unseen | Folds | Corrupt


def parse_imperfect(text: str, data: str, built_in: bool, command: str = "") -> Imperfect:
    """Read --imperfect.

    Args:
        text: "heldout", "heldout:SPLIT", "heldout:SPEC", "heldout:DIR", "unseen", "unseen?crossfit=group", "folds:DIR",
            "kfold:4", "kfold:4?rule=group" or "corrupt"; empty takes k folds for the built-in M, and the split val for
            any other.
        data: SPEC of the training images.
        built_in: Whether M is the built-in one.
        command: Of --train-cmd.

    Raises:
        InputError: The text is none of these, or what it needs is not there.
    """
    source = Spec.parse(text or ("kfold" if built_in else "heldout"))
    if source.name == "kfold" and (not source.root or source.root.isdecimal()):
        rule = cast(FoldRule | None, source.options(("rule",)).get("rule"))  # KFold refuses what is none
        return KFold(up_to(10_000)(source.root or "0"), _checked(command, built_in), rule)
    kind, _, value = source.text.partition(":")
    if command:
        raise InputError("--train-cmd trains the models of --imperfect kfold:4; write that, or leave it out")
    if kind == "heldout":
        return HeldOut(_held_out(value, data, chosen=bool(text)))
    if source.name == "unseen" and not source.root:
        return Unseen(**values(source.options(("crossfit",)), {"crossfit": choice("group")}))
    if kind == "folds" and value:
        return Folds(Path(value))
    if text == "corrupt":
        return Corrupt()
    raise InputError(f"imperfect predictions {text!r} are unknown; write {CHOICES}")


def _held_out(value: str, data: str, chosen: bool) -> Dataset:
    """The data set of a SPEC, of a folder, or of a split of the training data (val, when nothing is said)."""
    if ":" in value or is_folder(value):
        return open_dataset(value, "val")
    spec, split = data.partition("?")[0], value or "val"
    try:
        held_out, trained = open_dataset(spec, split), open_dataset(data)
    except InputError as error:
        if chosen:
            raise
        raise InputError(f"{error}; F needs predictions of images that M has not seen; write {CHOICES}") from error
    if set(held_out.ids) & set(trained.ids):
        raise InputError(f"{spec} has no split {split!r} apart from the training images; write {CHOICES}")
    return held_out


def _checked(command: str, built_in: bool) -> str:
    if built_in and command:
        raise InputError("--train-cmd trains a model that you bring; for the built-in one leave it out")
    missing = [place for place in PLACES if place not in command]
    if not built_in and missing:
        raise InputError(f"kfold trains your model by --train-cmd with {', '.join(PLACES)}; {missing[0]} is missing")
    return command


def train_folds(command: str, dataset: Dataset, fold_of: Sequence[int], out: Path) -> Path:
    """Run a training command once per fold; a fold that has run before is not run again.

    Args:
        command: With {train_list} and {val_list}, files of one image id a line, and {out}, the folder in which it
            leaves a prediction for every image of the second list.
        dataset: The training images.
        fold_of: The fold of every image.
        out: Folder for the lists and the predictions.

    Returns:
        The folder of all predictions.

    Raises:
        InputError: The command fails, or leaves an image of a fold without a prediction.
    """
    for fold in sorted(set(fold_of)):
        folder = out / f"fold_{fold}"
        seen, held_out = (
            [sample_id for sample_id, other in zip(dataset.ids, fold_of, strict=True) if (other == fold) is within]
            for within in (False, True)
        )
        for place, ids in zip(PLACES[:2], (seen, held_out), strict=True):
            save_text(folder / _list_name(place), "".join(f"{sample_id}\n" for sample_id in ids))
        if not (folder / "done").exists():
            _run(command, folder)
            predictions = SavedPredictions(folder / "validation", dataset.classes, dims_of(dataset[0].image[None]))
            predictions.require(held_out)  # else the fold would count as run, and the last one would tell
            (folder / "done").touch()
    return out


def _list_name(place: str) -> str:
    """The file of a list of ids: val_list.txt of {val_list}."""
    return f"{place[1:-1]}.txt"


def _run(command: str, folder: Path) -> None:
    names = {"{out}": folder / "validation", **{place: folder / _list_name(place) for place in PLACES[:2]}}
    names["{out}"].mkdir(parents=True, exist_ok=True)
    for place, path in names.items():
        command = command.replace(place, shlex.quote(str(path)))
    code = subprocess.run(command, shell=True, check=False).returncode
    if code:
        raise InputError(f"the training command ended with code {code}: {command}; make it work, then --resume")
