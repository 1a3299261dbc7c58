from __future__ import annotations

import ctypes
import errno
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from synthcp.errors import InputError, RunError
from synthcp.system import output_folder as output_folder_module
from synthcp.system.files import load_json, save_json
from synthcp.system.kept import Done, at_work, was_interrupted
from synthcp.system.lock import locked
from synthcp.system.output_folder import FILES, changing, listed, output_folder

Fails = Callable[..., AbstractContextManager[None]]
ASKED = {"budget": "3"}


def write(out: Path, *names: str) -> None:
    """One run that writes these files."""
    with output_folder(out) as work:
        for name in names:
            (work.new / name).parent.mkdir(parents=True, exist_ok=True)
            (work.new / name).write_bytes(os.fsencode(name))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {FILES}


def break_off(out: Path, asked: dict[str, str] = ASKED) -> None:
    """A run that is interrupted after its first input."""
    with pytest.raises(KeyboardInterrupt), output_folder(out, asked) as work:
        (work.new / "half").write_text("half")
        work.keep(0, Done("of a", "text", {"x": torch.arange(3)}))
        raise KeyboardInterrupt


@pytest.fixture(params=[True, False], ids=["one step", "two steps"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a system that exchanges folders in one step, and with one that does not."""
    if not request.param:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())


def test_the_old_folder_is_replaced_as_a_whole(tmp_path: Path, either: None) -> None:
    out = tmp_path / "deep" / "out"
    write(out, "maps/a.png", "report.html")
    out.chmod(0o750)
    write(out, "maps/b.png")
    assert names(out) == {"maps/b.png"} == set(load_json(out / FILES)["files"])
    assert out.stat().st_mode & 0o777 == 0o750 and list(out.parent.iterdir()) == [out]


def test_until_the_end_and_after_a_failure_the_old_folder_is_there(tmp_path: Path, either: None) -> None:
    out = tmp_path / "out"
    write(out, "old")
    with pytest.raises(ZeroDivisionError), output_folder(out) as work:
        (work.new / "new").write_text("new")
        assert names(out) == {"old"}
        raise ZeroDivisionError
    assert names(out) == {"old"} and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("foreign", ["notes.txt", "maps/holiday.jpg"])
def test_files_that_no_run_wrote_are_never_removed(tmp_path: Path, fails: Fails, foreign: str) -> None:
    out = tmp_path / "out"
    write(out, "maps/a.png")
    (out / foreign).write_text("mine")
    with fails(f"{out} holds {foreign}, which no run wrote", "move them away, or choose another folder"):
        write(out, "b")
    assert names(out) == {"maps/a.png", foreign}
    (out / foreign).unlink()
    (out / ".DS_Store").touch()  # of a file manager
    write(out, "b")
    assert names(out) == {"b"}


def test_a_file_that_comes_while_the_run_works_is_kept_too(tmp_path: Path, fails: Fails) -> None:
    out = tmp_path / "out"
    write(out, "old")
    with fails("holds mine.txt"), output_folder(out, ASKED) as work:
        (work.new / "new").write_text("new")
        (out / "mine.txt").write_text("mine")
    assert names(out) == {"old", "mine.txt"}
    (out / "mine.txt").unlink()
    with output_folder(out, ASKED, resume=True) as work:
        pass
    assert names(out) == {"new"}


def test_a_link_to_files_of_others_is_never_followed(tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").touch()
    out = tmp_path / "out"
    write(out, "old")
    (out / "link").symlink_to(tmp_path / "data")
    with fails("holds link, which no run wrote"):
        write(out, "new")
    (tmp_path / "alias").symlink_to(out)
    (out / "link").unlink()
    write(tmp_path / "alias", "new")
    assert names(out) == {"new"} and (tmp_path / "alias").is_symlink() and (tmp_path / "data" / "a.png").exists()


def test_what_cannot_be_replaced_is_refused(tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "here" / "in").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "in")
    with fails("file is a file", "choose another name"):
        write(tmp_path / "file", "a")
    with fails("the folder you are in, or holds it", "choose a folder in it, such as"):
        write(tmp_path / "here", "a")
    with fails("a mounted disk"):
        write(Path("/proc"), "a")
    with fails("/proc/no/out cannot be written (No such file"):
        write(Path("/proc/no/out"), "a")
    with fails("cannot be written (Not a directory)"):
        write(tmp_path / "file" / "out", "a")


def test_a_second_run_is_refused_until_the_first_ends_or_dies(tmp_path: Path, fails: Fails) -> None:
    out = tmp_path / "out"
    program = f"""
import time
from pathlib import Path
from synthcp.system.output_folder import output_folder
with output_folder(Path({str(out)!r})) as work:
    print("locked", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        for begin in (lambda: write(out, "a"), lambda: output_folder(out, ASKED, resume=True).__enter__()):
            with fails(f"another run (process {process.pid}) is at work on {out}", "wait until it ends, or choose"):
                begin()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / ".out.partial").is_dir()
    write(out, "a")
    assert names(out) == {"a"} and list(tmp_path.iterdir()) == [out]


def test_locks_of_two_folders_do_not_meet_and_leave_nothing(tmp_path: Path, fails: Fails) -> None:
    with locked(tmp_path / "a"), locked(tmp_path / "b"), fails("is at work on"), locked(tmp_path / "a"):
        pass
    assert not list(tmp_path.iterdir())
    with fails("is the root of a disk"), locked(Path("/")):
        pass


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    break_off(out)
    assert names(out) == {"old"}
    assert was_interrupted(out, ASKED) and not was_interrupted(out, {"budget": "4"})
    with output_folder(out, ASKED, resume=True) as work:
        assert work.goes_on and (work.new / "half").read_text() == "half"
        assert work.kept(1, "of b", "b") is None
        done = work.kept(0, "of a", "a")
        assert done is not None and done.text == "text" and done.tensors["x"].tolist() == [0, 1, 2]
        with pytest.raises(RunError, match="a has changed since the run was interrupted; begin anew, without --resume"):
            work.kept(0, "of another a", "a")
    assert names(out) == {"half"} and list(tmp_path.iterdir()) == [out]


def test_only_a_resumed_run_takes_what_was_kept_with_every_number_of_it(tmp_path: Path) -> None:
    maps = torch.tensor([math.nan, math.inf, 1e30])
    with pytest.raises(KeyboardInterrupt), output_folder(tmp_path / "out", ASKED) as work:
        work.keep(0, Done("of a", "text", {"x": maps}))
        assert work.kept(0, "of a", "a") is None and work.kept(0, "of another a", "a") is None
        raise KeyboardInterrupt
    with output_folder(tmp_path / "out", ASKED, resume=True) as work:
        done = work.kept(0, "of a", "a")
        assert done is not None
        torch.testing.assert_close(done.tensors["x"], maps, equal_nan=True)


def test_what_cannot_be_removed_is_told_and_never_taken_up(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with output_folder(out, ASKED) as work:
        (work.new / "new").touch()
        work.keep(0, Done("of a", "text", {}))
    assert names(out) == {"new"}
    what = f"{tmp_path / '.out.partial'} of an earlier run cannot be removed ([Errno 13] Permission denied: "
    (record,) = caplog.records
    assert what in record.getMessage() and record.getMessage().endswith("remove it yourself")
    with fails(what, "done", "remove it yourself"):
        write(out, "newer")
    assert names(out) == {"new"}


def test_a_folder_beside_which_nothing_can_be_written(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with fails("run cannot be written (Permission denied)", f"keeps its lock beside it, in {tmp_path}; choose a"):
        with locked(tmp_path / "run"):
            pass


def test_an_interruption_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, output_folder(tmp_path / "out", ASKED) as work:
        (work.new / "half").touch()
        raise KeyboardInterrupt
    (note,) = caught.value.__notes__
    assert str(tmp_path / ".out.partial") in note and "--resume" in note
    with pytest.raises(RunError) as stopped, output_folder(tmp_path / "out", ASKED) as work:
        (work.new / "half").touch()
        raise RunError("it has changed; begin anew, without --resume")
    assert not hasattr(stopped.value, "__notes__")


def test_another_run_is_not_taken_up_and_begins_anew_without_being_asked_to_go_on(tmp_path: Path, fails: Fails) -> None:
    out = tmp_path / "out"
    break_off(out)
    with fails("had another budget", "repeat its command with --resume, or begin anew without"):
        with output_folder(out, {"budget": "4"}, resume=True):
            pass
    with output_folder(out, ASKED) as work:
        assert not work.goes_on and not list(work.new.iterdir()) and work.kept(0, "of a", "a") is None
    assert list(tmp_path.iterdir()) == [out]


def test_what_a_dead_machine_left_half_written_is_done_again(tmp_path: Path) -> None:
    break_off(tmp_path / "out")
    path = tmp_path / ".out.partial" / "done" / "0.safetensors"
    path.write_bytes(path.read_bytes()[:-2])
    with at_work(tmp_path / "out", ASKED, resume=True) as work:
        assert work.kept(0, "of a", "a") is None


def test_a_run_killed_between_two_steps_has_its_old_folder_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    (tmp_path / ".out.partial").mkdir()
    os.rename(out, tmp_path / ".out.partial" / "old")
    with locked(out):
        assert names(out) == {"old"}
    with pytest.raises(ZeroDivisionError), output_folder(out):
        raise ZeroDivisionError
    assert names(out) == {"old"}


@pytest.mark.parametrize("old", [True, False])
def test_a_run_whose_folder_cannot_be_put_in_its_place_goes_on(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    out, rename = tmp_path / "out", os.rename
    write(out, *["old"] * old)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # in two steps

    def full(source: Path, target: Path) -> None:
        if (Path(source).name, target) == ("new", out):
            raise OSError(errno.EACCES, "Permission denied")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with fails(f"{out} cannot be written (Permission denied)"), output_folder(out, ASKED) as work:
            (work.new / "new").touch()
            work.keep(0, Done("of a", "text", {}))
    assert names(out) == {"old"} if old else not names(out)
    assert was_interrupted(out, ASKED)
    with output_folder(out, ASKED, resume=True) as work:
        assert work.goes_on and work.kept(0, "of a", "a") is not None
    assert names(out) == {"new"} and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("put", [True, False])
def test_a_run_that_is_killed_at_its_end_begins_anew(
    tmp_path: Path, either: None, monkeypatch: pytest.MonkeyPatch, put: bool
) -> None:
    out = tmp_path / "out"
    write(out, "old")
    if not os.fork():
        with output_folder(out, ASKED) as work:
            (work.new / "new").touch()
            work.keep(0, Done("of a", "text", {}))
            whole = output_folder_module._put
            monkeypatch.setattr(output_folder_module, "_put", lambda *to: (put and whole(*to), os._exit(0)))
    os.wait()
    assert names(out) == ({"new"} if put else {"old"}) and not was_interrupted(out, ASKED)
    with output_folder(out, ASKED, resume=True) as work:
        assert not work.goes_on and not list(work.new.iterdir())
        (work.new / "new").touch()
    assert names(out) == {"new"} and list(tmp_path.iterdir()) == [out]


def test_what_a_failed_change_leaves_is_the_runs_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    with pytest.raises(ZeroDivisionError), changing(out):
        (out / "table.md").touch()
        raise ZeroDivisionError
    assert listed(out) == {"old", "table.md"}
    write(out, "new")
    assert names(out) == {"new"}


def test_files_that_a_run_adds_later_are_its_own(tmp_path: Path, fails: Fails) -> None:
    out = tmp_path / "out"
    write(out, "old")
    (out / "foreign").touch()
    with changing(out):
        (out / "table.md").touch()
    with fails("holds foreign, which"):
        write(out, "new")
    (out / "foreign").unlink()
    (out / ".12.partial.report.html").touch()  # of a report that was killed
    with changing(out):
        assert not (out / ".12.partial.report.html").exists()
    (out / ".12.partial.report.html").touch()
    write(out, "new")
    assert names(out) == {"new"}
    with changing(tmp_path / "nowhere"):
        pass
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_is_full_of_unlisted_files_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("mine")
    with pytest.raises(InputError, match=r"holds results\.csv, which no run wrote"):
        write(tmp_path / "out", "results.csv")
    assert (tmp_path / "out" / "results.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../a.png", "", ".", "./a.png", "link", "alias/a.png", "\0", "\ud800"],
)
def test_a_list_names_files_of_its_folder_alone(tmp_path: Path, fails: Fails, name: str) -> None:
    out = tmp_path / "out"
    write(out, "dir/a.png", "a.png")
    (out / "link").symlink_to(out / "a.png")
    (out / "alias").symlink_to(out / "dir")
    assert listed(out) == {"dir/a.png", "a.png"} and not listed(tmp_path)
    save_json(out / FILES, {"run": "1", "files": ["a.png", name]})
    for use in (lambda: listed(out), lambda: changing(out).__enter__(), lambda: write(out, "b")):
        with fails(f"{out / FILES} names", "its own files, without links and '..'", "let the run write another folder"):
            use()
    assert (out / "a.png").exists()


def test_a_name_with_bytes_that_are_no_text_is_listed(tmp_path: Path) -> None:
    write(tmp_path / "out", "\udcff.png")
    assert listed(tmp_path / "out") == {"\udcff.png"}


@pytest.mark.parametrize("text", ["{}", '{"files": 3}', '{"files": [1]}', '{"files": {"a": 1}}', "[]", "{", '"a"'])
def test_a_damaged_list_is_refused(tmp_path: Path, fails: Fails, text: str) -> None:
    out = tmp_path / "out"
    write(out, "a")
    (out / FILES).write_text(text)
    with fails(str(out / FILES), "restore it, or let the run write another folder"):
        write(out, "b")
    with fails(str(out / FILES)), changing(out):
        pass
    assert (out / "a").exists()
