from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import DataError, InputError
from synthcp.fitting.imperfect_sources import Corrupt, Folds, HeldOut, KFold, Unseen, parse_imperfect, train_folds

SCENES = "scenes:?count=4&size=48x64"
HALVES = [0, 0, 0, 1, 1, 1]
COMMAND = "program --train {train_list} --val {val_list} --out {out}"


def held_out(source: object) -> list[str]:
    assert isinstance(source, HeldOut)
    return list(source.dataset.ids)


@pytest.fixture
def scenes() -> Scenes:
    return Scenes(ScenesConfig(count=6, height=48, width=64))


def test_k_folds_for_the_built_in_model_and_held_out_images_for_any_other() -> None:
    assert parse_imperfect("", SCENES, built_in=True) == KFold()
    assert parse_imperfect("kfold:5", SCENES, built_in=True) == KFold(5)
    assert held_out(parse_imperfect("", "scenes:", built_in=False))[0] == "val-0000"


def test_held_out_images_by_split_by_spec_and_by_folder(tmp_path: Path) -> None:
    assert held_out(parse_imperfect("heldout:test", "scenes:", built_in=False))[0] == "test-0000"
    by_spec = held_out(parse_imperfect("heldout:scenes:?count=3&split=test", SCENES, built_in=True))
    assert by_spec == ["test-0000", "test-0001", "test-0002"]
    with pytest.raises(DataError, match="layout of no kind of data.*folder: images/ with labels/"):
        parse_imperfect(f"heldout:{tmp_path}", SCENES, built_in=False)
    write_street(tmp_path)
    assert held_out(parse_imperfect(f"heldout:{tmp_path}", SCENES, built_in=False)) == ["a", "b"]


def write_street(root: Path) -> None:
    """Two images with labels of three classes."""
    for part, value in (("images", 200), ("labels", 2)):
        (root / part).mkdir()
        for name in "ab":
            Image.new("L", (32, 24), value).save(root / part / f"{name}.png")
    (root / "classes.json").write_text('{"names": ["sky", "road", "car"]}')


def test_folds_and_corruption() -> None:
    assert parse_imperfect("folds:some/where", SCENES, built_in=False) == Folds(Path("some/where"))
    assert parse_imperfect("corrupt", SCENES, built_in=False) == Corrupt()
    assert parse_imperfect("kfold:3", SCENES, built_in=False, command=COMMAND) == KFold(3, COMMAND)


@pytest.mark.parametrize(("text", "expected"), [("unseen", Unseen()), ("unseen?crossfit=group", Unseen("group"))])
def test_all_of_the_data_is_unseen_by_a_model_that_is_brought(text: str, expected: Unseen) -> None:
    source = parse_imperfect(text, SCENES, built_in=False)
    assert source == expected and str(source) == text


def test_generators_are_crossfitted_by_groups_only(fails: Any) -> None:
    with fails("crossfit='image': G is cross-fitted by groups only; write 'group', or nothing"):
        Unseen("image")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["kfold", "kfold:3", "kfold?rule=dealt", "kfold:3?rule=group"])
def test_the_folds_and_their_rule_are_told_as_they_are_asked_for(text: str) -> None:
    assert str(parse_imperfect(text, SCENES, built_in=True)) == text
    asked = parse_imperfect("kfold:5?rule=contiguous", SCENES, built_in=False, command=COMMAND)
    assert asked == KFold(5, COMMAND, "contiguous")


@pytest.mark.parametrize(
    ("text", "built_in", "command", "message"),
    [
        ("kfold:many", True, "", "write heldout"),
        ("folds", False, "", "write heldout"),
        ("corrupt:3", False, "", "write heldout"),
        ("nonsense", False, "", "'nonsense' are unknown"),
        ("heldout:train", False, "", "no split 'train' apart from the training images"),
        ("kfold:4", False, "", "{train_list} is missing"),
        ("kfold:4", False, COMMAND.replace("{out}", "here"), "{out} is missing"),
        ("kfold:4", True, COMMAND, "for the built-in one leave it out"),
        ("kfold:4?rule=city", True, "", "fold rule 'city' is unknown; choose one of: contiguous, dealt, group"),
        ("kfold:4?by=group", True, "", "no option 'by'; choose one of: rule"),
        ("unseen:val", False, "", "'unseen:val' are unknown; write heldout"),
        ("unseen?crossfit=image", False, "", "crossfit=image: no such value; choose one of: group"),
        ("unseen?by=group", False, "", "no option 'by'; choose one of: crossfit"),
        ("kfold:1", True, "", "1 fold leaves no image to train on"),
        ("heldout", False, COMMAND, "--train-cmd trains the models of --imperfect kfold"),
    ],
)
def test_what_cannot_be_read(text: str, built_in: bool, command: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_imperfect(text, "scenes:", built_in, command)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_data_set_without_a_second_split_is_told_the_choices(camvid_like: str) -> None:
    with pytest.raises(InputError, match=r"F needs predictions of images that M has not seen; write heldout\[:SPEC\]"):
        parse_imperfect("", camvid_like, built_in=False)


@pytest.fixture
def camvid_like(tmp_path: Path, scenes: Scenes) -> str:
    """A folder that has the split train only."""
    from synthcp.report.pictures import image_picture, label_picture

    for sample in scenes:
        for kind in ("images", "labels"):
            (tmp_path / kind / "train").mkdir(parents=True, exist_ok=True)
        assert sample.label_map is not None
        image_picture(sample.image).save(tmp_path / "images" / "train" / f"{sample.id}.png")
        label_picture(sample.label_map, scenes.classes).save(tmp_path / "labels" / "train" / f"{sample.id}.png")
    names = ", ".join(f'"{name}"' for name in scenes.classes.names)
    (tmp_path / "classes.json").write_text(f'{{"names": [{names}], "ignore_index": {scenes.classes.ignore_index}}}')
    return f"folder:{tmp_path}"


def test_the_command_trains_each_fold_once(scenes: Scenes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = tmp_path / "it's a program.py"
    program.write_text(
        f"import sys, pathlib\n_, train, val, out = sys.argv\nassert pathlib.Path(out).is_dir()\n"
        f"for name in open(val).read().split(): pathlib.Path(out, name + '.png').touch()\n"
        f"pathlib.Path({str(log)!r}).open('a').write(repr([open(p).read().split() for p in (train, val)]) + '\\n')\n"
    )
    command = f"{sys.executable} '{str(program).replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
    command += " {train_list} {val_list} {out}"
    folder = train_folds(command, scenes, HALVES, tmp_path / "folds")
    assert folder == tmp_path / "folds"
    ids = list(scenes.ids)
    runs = [eval(line) for line in log.read_text().splitlines()]
    assert runs == [[ids[3:], ids[:3]], [ids[:3], ids[3:]]]
    train_folds(command, scenes, HALVES, tmp_path / "folds")
    assert len(log.read_text().splitlines()) == 2  # what has run is not run again


def test_a_fold_without_all_of_its_predictions_does_not_count(scenes: Scenes, tmp_path: Path) -> None:
    for left in ("true", f"touch {{out}}/{scenes.ids[0]}.png"):
        with pytest.raises(InputError, match="no prediction"):
            train_folds(f"{left} # {{train_list}} {{val_list}} {{out}}", scenes, HALVES, tmp_path)
        assert not list(tmp_path.rglob("done"))


def test_a_command_that_fails_says_so(scenes: Scenes, tmp_path: Path) -> None:
    command = "exit 7 # {train_list} {val_list} {out}"
    with pytest.raises(InputError, match="ended with code 7"):
        train_folds(command, scenes, HALVES, tmp_path)
    assert not list(tmp_path.rglob("done"))
