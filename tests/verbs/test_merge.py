"""The shards of one run, put together, are the run."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from synthcp.report.annotate import read_choice
from synthcp.report.outputs import read_settings
from synthcp.report.rows import read_rows
from synthcp.verbs.merge import merge
from synthcp.verbs.score import score


@pytest.fixture(scope="module")
def parts(monitor, images, tmp_path_factory):
    """Two shards, of three and two images."""
    folder = tmp_path_factory.mktemp("parts")
    for number in (1, 2):
        score(monitor, images, folder / str(number), shard=f"{number}/2", budget=2)
    return folder


def data(out):
    """All files but those that tell of the run itself."""
    told = {"run.json", "report.html", "files.json", "annotate.txt", "annotate.csv"}
    return {
        path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name not in told
    }


def test_merged_shards_are_the_whole_run(monitor, images, parts, tmp_path):
    whole = score(monitor, images, tmp_path / "whole", budget=2)
    rows = merge([parts / "2", str(parts / "1")], tmp_path / "out")
    assert [row.id for row in rows] == [row.id for row in whole] == [row.id for row in read_rows(tmp_path / "out")]
    assert data(tmp_path / "out") == data(tmp_path / "whole") and len(data(tmp_path / "out")) > 5 * 6
    assert (tmp_path / "out" / "report.html").is_file() and read_settings(tmp_path / "out").shard == ""
    first, second = ({rank: name for name, rank in read_choice(parts / part).items()} for part in "12")
    assert read_choice(tmp_path / "out") == {first[1]: 1, second[1]: 2, first[2]: 3, second[2]: 4}
    merge([parts / "1", parts / "2"], tmp_path / "whole")  # in the place of an older output


def test_errors_and_their_log_are_merged(monitor, images, bad, tmp_path, monkeypatch):
    detect = monitor.detect

    def fail(image, sample_id):
        if image.shape[3] > 62:
            raise RuntimeError("out of memory")
        return detect(image, sample_id)

    monkeypatch.setattr(monitor, "detect", fail)
    for number in (1, 2):
        score(monitor, [images, bad], tmp_path / str(number), shard=f"{number}/2")
    rows = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    assert [row.id for row in rows if row.status == "error"] == ["bad", "test-0000", "test-0001"]
    assert (tmp_path / "out" / "errors.log").read_text().count("RuntimeError: out of memory") == 2


def test_what_is_not_the_whole_of_one_run_is_refused(monitor, images, parts, tmp_path, fails):
    one, two = parts / "1", parts / "2"
    with fails("shard 2/2 is missing; score it"):
        merge([one], tmp_path / "out")
    with fails("are both shard 1/2; give one of them"):
        merge([one, two, one], tmp_path / "out")
    score(monitor, images, tmp_path / "other", shard="2/2", budget=3)
    with fails("are not of one run", "must be the same"):
        merge([one, tmp_path / "other"], tmp_path / "out")
    score(monitor, images, tmp_path / "whole")
    with fails("whole holds no shard", "score --shard wrote"):
        merge([one, tmp_path / "whole"], tmp_path / "out")
    with fails("run.json is missing"):
        merge([one, tmp_path / "nowhere"], tmp_path / "out")
    with fails("is one of the shards; put them together in another folder"):
        merge([one, two], two)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut", [1, 2])
def test_lost_rows_are_noticed(parts, tmp_path, fails, cut):
    one, two = (shutil.copytree(parts / name, tmp_path / name) for name in "12")
    lines = (two / "results.csv").read_text().splitlines(keepends=True)
    (two / "results.csv").write_text("".join(lines[:-cut]))
    with fails("results.csv has", "rows where shard", "score that shard again"):
        merge([one, two], tmp_path / "out")


def test_a_shard_does_not_take_the_place_of_another(monitor, images, parts, tmp_path, fails):
    one = shutil.copytree(parts / "1", tmp_path / "1")
    with fails("holds shard 1/2; give shard 2/2 a folder of its own", "synthcp merge"):
        score(monitor, images, one, shard="2/2")
    assert len(read_rows(one)) == 3
    score(monitor, images, one, shard="1/2")  # the same one again
    assert len(read_rows(one)) == 3


@pytest.fixture
def copies(parts, tmp_path):
    return [shutil.copytree(parts / name, tmp_path / name) for name in "12"]


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "link", 3])
def test_a_shard_gives_files_of_its_own_alone(copies, tmp_path, fails, name):
    (tmp_path / "secret").touch()
    (copies[1] / "link").symlink_to(tmp_path / "secret")
    edit(copies[1] / "files.json", files=["run.json", name])
    with fails(str(copies[1] / "files.json"), "restore it, or let the run write another folder"):
        merge(copies, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_gone_or_of_two_shards_is_refused(copies, tmp_path, fails):
    one, two = copies
    first = next(iter((one / "maps").glob("*_error.png")))
    inside = first.relative_to(one).as_posix()
    shutil.copy(next(iter((two / "maps").glob("*_error.png"))), two / inside)
    edit(two / "files.json", files=[*json.loads((two / "files.json").read_text())["files"], inside])
    with fails(f"{two / inside} is of the same name in another shard", "a file is of one image; score them again"):
        merge(copies, tmp_path / "out")
    first.unlink()
    for damage in (lambda: None, lambda: os.mkfifo(first)):
        damage()
        with fails(f"{first} is missing or no file, and its run wrote one; score that shard again"):
            merge(copies, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shard", ["1/1000000000000", "0/2", "3/2", "\u00b2/2", "1/2/3", "9" * 5000 + "/2"])
def test_a_damaged_shard_number_is_none(copies, tmp_path, fails, shard):
    edit(copies[0] / "run.json", shard=shard)
    with fails(f"{copies[0]} holds no shard; give folders that synthcp score --shard wrote"):
        merge(copies, tmp_path / "out")


def test_a_folder_that_holds_a_shard_is_not_replaced(copies, tmp_path, fails):
    with fails(f"{tmp_path} holds {copies[0]}, one of the shards; put them together in another folder"):
        merge(copies, tmp_path)


def test_the_command_line_merges(synthcp, parts, tmp_path):
    ended = synthcp("merge", parts / "1", parts / "2", "--out", tmp_path / "out")
    told = f"5 rows of 2 shards; report: {tmp_path / 'out' / 'report.html'}; next: open it in a browser\n"
    assert (ended.code, ended.stdout, ended.stderr) == (0, told, [])
