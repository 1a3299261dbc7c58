"""Monitors on the hub, which is a folder here: what is uploaded, what is fetched, and what its card says."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path

import pytest
import torch
from PIL import Image

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import InputError, MissingExtraError, WeightsError
from synthcp.monitor.card import LIMITS, model_card
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.settings import load_settings, save_settings
from synthcp.segmentation.settings import ModelSettings
from synthcp.system.hub import is_on_hub
from synthcp.system.run_folder import CONFIG, CONTROLS_FOLDER, IMPERFECT, PICTURES, SETTINGS
from synthcp.verbs.calibrate import calibrate

REPO = "owner/tiny"
SCENES = "scenes:?count=3&size=48x64"


class Hub:
    """Stands for huggingface_hub: repositories are folders, and what is fetched are links to blobs, as in its cache."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.private = root, [], {}

    def snapshot_download(self, repo_id, *, revision=None, allow_patterns=None):
        self.asked.append((repo_id, revision))
        if not (self.root / repo_id).is_dir():
            raise OSError("404 Client Error.\n\nRepository Not Found")
        snapshot = self.root / "cache" / repo_id
        for file in (self.root / repo_id).rglob("*"):
            name = file.relative_to(self.root / repo_id).as_posix()
            if file.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                (snapshot / name).symlink_to(file)
        return str(snapshot)

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.private[repo_id] = private
        return f"https://hub/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, commit_message, delete_patterns):
        if repo_id.startswith("other/"):
            raise PermissionError("403 Forbidden")
        shutil.copytree(folder_path, self.root / repo_id)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def run(run_folder, tmp_path):
    """A run with all that is none of the hub's business."""
    run = shutil.copytree(run_folder, tmp_path / "run")
    for folder in (IMPERFECT, PICTURES, "rivals"):
        (run / folder).mkdir(exist_ok=True)
        (run / folder / "secret.png").write_bytes(b"a face")
    return run


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_a_monitor_goes_to_the_hub_and_comes_back_as_it_was(hub, run):
    monitor, image = Monitor.load(run, "cpu"), Scenes(ScenesConfig(1, 48, 64))[0].image
    assert monitor.push_to_hub(REPO, private=True) == f"https://hub/{REPO}" and hub.private == {REPO: True}
    assert monitor.folder == run
    weights = {"segmenter.safetensors", "generator.safetensors", f"{CONTROLS_FOLDER}/direct.safetensors"}
    if not monitor.settings.learnt.direct:
        weights = {"segmenter.safetensors", "generator.safetensors", "comparator.safetensors"}
    assert names(hub.root / REPO) == {SETTINGS, "README.md", *weights}
    for source, revision in ((REPO, None), (f"hub:{REPO}@v1.0", "v1.0")):
        shutil.rmtree(hub.root / "cache", ignore_errors=True)
        back = Monitor.from_pretrained(source, "cpu")
        assert hub.asked[-1] == (REPO, revision) and names(hub.root / "cache" / REPO) == {SETTINGS, *weights}
        assert back.settings == monitor.settings and back.folder is None
        assert torch.equal(back.assess(image).error_map, monitor.assess(image).error_map)


def test_a_folder_is_read_as_load_reads_it_and_nobody_asks_the_hub(hub, run):
    assert Monitor.from_pretrained("run", "cpu").folder == Path("run") and hub.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub:a/b", True), ("a/b", True), ("a/b@main", True), ("a-b.c/D_e.f", True), ("hub:run/x", True),
        ("run", False), ("run/x", False), ("a", False), ("./a/b", False), ("../b", False), ("a/b/c", False),
        ("/a/b", False), ("~/b", False), ("a/", False), ("a b/c", False), ("a/b@", False),
    ],
)  # fmt: skip
def test_the_hub_is_asked_only_for_what_is_written_so(text, expected, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    assert is_on_hub(text) is expected


def test_what_comes_from_the_hub_runs_no_code_and_reads_no_pickle(hub, run, fails):
    settings = load_settings(run)
    evil = shutil.copytree(run, hub.root / REPO)
    save_settings(evil, replace(settings, model=ModelSettings(f"{evil}/evil.py:factory", layers=1)))
    (evil / "evil.py").write_text("raise SystemExit('code was run')")
    (evil / "comparator.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with fails("evil.py:factory", error=InputError):
        Monitor.from_pretrained(REPO, "cpu")
    assert {Path(name).suffix for name in names(hub.root / "cache")} == {".json", ".safetensors"}
    assert "trust_code" not in signature(Monitor.from_pretrained).parameters


def test_damaged_weights_of_the_hub_are_named(hub, run, fails):
    shutil.copytree(run, hub.root / REPO)
    (hub.root / REPO / "segmenter.safetensors").write_bytes(b"cos\nsystem\n")
    with fails("segmenter.safetensors", error=WeightsError):
        Monitor.from_pretrained(REPO, "cpu")


def test_what_the_hub_does_not_give_or_take_is_one_line(hub, run, fails):
    with fails("the hub does not give no/where (OSError: 404 Client Error. Repository Not Found)", "./no/where"):
        Monitor.from_pretrained("no/where")
    with fails("hub:nowhere names nothing on the hub", "hub:OWNER/NAME"):
        Monitor.from_pretrained("hub:nowhere")
    with fails("the hub does not take other/x (PermissionError: 403 Forbidden)", "log in"):
        Monitor.load(run, "cpu").push_to_hub("other/x")
    with fails("x is no name of a repository; write OWNER/NAME"):
        Monitor.load(run, "cpu").push_to_hub("x")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch, fails):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.chdir(tmp_path)
    with fails("a/b is no folder here", 'pip install "synthcp[hub]"', error=MissingExtraError):
        Monitor.from_pretrained("a/b")


def test_a_monitor_of_the_hub_is_saved_before_it_is_written_to(hub, run, tmp_path, fails):
    shutil.copytree(run, hub.root / REPO)
    monitor = Monitor.from_pretrained(REPO, "cpu")
    with fails("lies in no folder", "save it first"):
        calibrate(monitor, "scenes:?count=12&size=48x64")
    monitor.save(tmp_path / "own")
    assert Monitor.load(tmp_path / "own", "cpu").settings == monitor.settings


def test_verbs_take_a_monitor_of_the_hub_and_leave_it_as_it_is(hub, run, synthcp, tmp_path):
    Monitor.load(run, "cpu").push_to_hub(REPO)
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    before = {path: path.read_bytes() for path in (hub.root / REPO).rglob("*") if path.is_file()}
    for verb in (["score", "a.png"], ["eval", "--data", SCENES]):
        ended = synthcp(*verb, "--monitor", f"hub:{REPO}", "--out", f"out/{verb[0]}", "--device", "cpu", "--quiet")
        assert ended.code == 0, ended.stderr
        shutil.rmtree(hub.root / "cache")
    assert before == {path: path.read_bytes() for path in (hub.root / REPO).rglob("*") if path.is_file()}
    ended = synthcp("calibrate", "--data", SCENES, "--monitor", f"hub:{REPO}")
    assert ended.code == 2 and "is on the hub" in ended.stderr[0] and len(hub.asked) == 2
    ended = synthcp("score", "a.png", "--monitor", "hub:no/where", "--out", "out/b")
    assert (ended.code, len(ended.stderr)) == (2, 1) and "the hub does not give no/where" in ended.stderr[0]


def test_the_real_library_takes_what_it_is_given(tmp_path):
    library = pytest.importorskip("huggingface_hub")
    signature(library.snapshot_download).bind("a/b", revision=None, allow_patterns=["x"])
    signature(library.create_repo).bind("a/b", private=True, exist_ok=True)
    signature(library.upload_folder).bind(
        repo_id="a/b", folder_path=tmp_path, commit_message="x", delete_patterns=["x"]
    )


def test_the_card_says_what_it_is_what_it_promises_and_what_it_does_not_know(run):
    settings = replace(
        load_settings(run), facts={"data": "folder:street", "seed": "7", "commit": "abc", "command": "/me"}
    )
    card = model_card(settings, REPO, "# Results\n\n| msp | 0.5 |")
    classes = ", ".join(settings.classes.names)
    for line in (
        "library_name: synthcp",
        f"# {REPO}",
        f'monitor = Monitor.from_pretrained("{REPO}")',
        "| data | folder:street |",
        "| images | 12 of 3 channels |",
        f"| classes | {classes} |",
        "| M | deeplab |",
        "| seed | 7 |",
        "| commit | abc |",
        f"| a pixel counts as unknown above | {settings.thresholds.anomaly:.3g} |",
        "| msp | 0.5 |",
        "Nothing: it is not calibrated. Its alarms say what was unusual in the fit (`synthcp calibrate`).",
        *(f"- {limit}" for limit in LIMITS),
    ):
        assert line in card.splitlines(), line
    assert "/me" not in card and "model=" not in card


def test_the_card_of_a_calibrated_monitor_of_another_model(run):
    calibrate(run, "scenes:?count=12&size=48x64&split=val", promise=Promise(alpha=0.3, delta=0.2, floor=0.05, area=0.1))
    settings = replace(
        load_settings(run), model=ModelSettings("onnx:a|b.onnx", fingerprint="f00"), facts={"data": "a\nb"}
    )
    card = model_card(settings, REPO)
    assert 'Monitor.from_pretrained("owner/tiny", model="SPEC of M")' in card and "--model SPEC" in card
    assert "| M | onnx:a\\|b.onnx; f00 |" in card and r"| data | a\\nb |" in card
    assert settings.calibration is not None
    for subject in settings.calibration.in_words():
        assert f"\n| {subject} | " in card


def test_the_tables_of_an_evaluation_come_from_a_file(hub, run, tmp_path, fails):
    (tmp_path / "eval.md").write_text("# Results on scenes\n")
    monitor = Monitor.load(run, "cpu")
    monitor.push_to_hub(REPO, evaluation=tmp_path / "eval.md")
    assert "# Results on scenes" in (hub.root / REPO / "README.md").read_text()
    with fails("none.md is no text", "synthcp eval --markdown"):
        monitor.push_to_hub("owner/other", evaluation="none.md")
    assert CONFIG not in names(hub.root / REPO)
