from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import synthcp as package
from synthcp.cli.fit import fit_verb
from synthcp.config.scales import SCALES
from synthcp.data.specs import open_dataset
from synthcp.fitting.config import FitConfig
from synthcp.fitting.imperfect_sources import KFold
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.promise import Promise
from synthcp.monitor.settings import load_settings, save_settings
from synthcp.monitor.thresholds import Thresholds
from synthcp.report.pictures import image_picture
from synthcp.report.rows import read_rows

VERBS = [
    "demo",
    "fit",
    "calibrate",
    "score",
    "eval",
    "audit",
    "reproduce",
    "merge",
    "report",
    "watch-drift",
    "serve",
    "doctor",
]
SCENES = "scenes:?count=3&size=48x64"


@pytest.fixture
def fitted(monkeypatch):
    """Calls of fit, in its place; what it fits gains something over M."""
    calls = []

    def fit(*arguments, **others):
        calls.append((*arguments, others))
        return SimpleNamespace(settings=SimpleNamespace(facts={"gain": "AP-Error 57 by F, 44 by M's own uncertainty"}))

    monkeypatch.setattr("synthcp.fitting.run.fit", fit)
    return calls


@pytest.fixture
def images(tmp_path):
    """A folder of three images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for sample in open_dataset(SCENES, "test"):
        image_picture(sample.image).save(folder / f"{sample.id}.png")
    return folder


@pytest.fixture
def score(synthcp, run_folder, images, tmp_path):
    """Score the images."""

    def score(*options, run=run_folder):
        return synthcp("score", images, "--monitor", run, "--out", tmp_path / "out", "--device", "cpu", *options)

    return score


@pytest.fixture
def run(run_folder, tmp_path):
    """A copy of the tiny run that may be written to."""
    return shutil.copytree(run_folder, tmp_path / "run")


def test_help_lists_the_verbs_and_the_exit_codes(synthcp):
    ended = synthcp("--help")
    assert ended.code == 0 and "Exit codes: 0 fine" in ended.stdout and ended == synthcp()
    assert [line.split()[0] for line in ended.stdout.split("Commands:\n")[1].splitlines()] == VERBS


CLI_ONLY = {"split", "predictions", "threads", "quiet", "as_json", "markdown", "fail_on_alarm"}
LOADING = {"model", "device", "precision", "trust_code"}
"""Options of Monitor.load, whose monitor the verbs take."""
OF_FIT = {"data", "out", "train_cmd", "config", "dry_run"}


def parameters(function: Callable[..., object]) -> Mapping[str, Parameter]:
    return signature(function, eval_str=True).parameters


@pytest.mark.parametrize("name", ["score", "evaluate", "calibrate", "audit"])
def test_python_and_the_command_line_name_their_options_alike(name):
    function = parameters(getattr(package, name))
    kinds = [(parameter.name, parameter.kind) for parameter in function.values()]
    names = {"promise": [part.name for part in fields(Promise)]}
    taken = {part for option in function for part in names.get(option, [option])} - {"facts", "progress"}
    verb = {"evaluate": "eval"}.get(name, name)
    given = set(parameters(getattr(import_module(f"synthcp.cli.{verb}"), f"{verb}_verb")))
    assert given - CLI_ONLY - LOADING == taken and set(parameters(Monitor.load)) > LOADING <= given
    first = [option for option, kind in kinds if kind is Parameter.POSITIONAL_OR_KEYWORD]
    assert first == {"score": ["monitor", "inputs", "out"], "calibrate": ["monitor", "data"]}.get(
        name, ["monitor", "data", "out"]
    )


def test_fit_names_its_options_as_the_command_line_does():
    options = {part.name for part in fields(FitConfig)}
    assert set(parameters(fit_verb)) - CLI_ONLY - OF_FIT == options


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_that_fits_on_its_line(synthcp, verb):
    ended = synthcp(verb, "--help")
    assert ended.code == 0
    assert ended.stdout.splitlines()[-1].startswith(f"  Example: synthcp {verb} ")


def test_python_m_is_the_program(synthcp):
    version = subprocess.run([sys.executable, "-m", "synthcp", "--version"], capture_output=True, text=True)
    assert (version.returncode, version.stdout) == (0, synthcp("--version").stdout)
    assert version.stdout == f"synthcp {package.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["--version"], ["fit"]])
def test_torch_is_not_imported_to_talk_about_usage(arguments):
    statement = "import sys; from synthcp.cli import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", statement, *arguments], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fot"], "No such command 'fot'"),
        (["fit", "--out", "x"], "Missing option '--data'"),
        (["score", "--monitor", "x", "--out", "y"], "Missing argument 'INPUT"),
        (["demo", "--seed", "one"], "Invalid value for '--seed'"),
        (["demo", "--seed", "-1"], "Invalid value for '--seed'"),
        (["report", "x", "--dpi", "3"], "No such option: --dpi"),
        (["report", "no/such/folder"], "run.json is missing"),
        (["fit", "--data", SCENES, "--out", "x", "--perceptual", "vgg"], "trunk 'vgg' is unknown; did you mean vgg"),
        (["fit", "--data", SCENES, "--out", "x", "--config", "no.json"], "no.json is missing or not JSON"),
        (["fit", "--data", SCENES, "--out", "x", "--scale", "big"], "scale 'big' is unknown"),
        (["fit", "--data", SCENES, "--out", "x", "--device", "abacus"], "device 'abacus'"),
        (["fit", "--data", SCENES, "--out", "x", "--weights", "no.st"], "no.st does not exist; give a safetensors"),
        (["score", ".", "--monitor", "x", "--out", "y", "--model", "a:", "--predictions", "b"], "both name M"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(synthcp, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    ended = synthcp(*arguments)
    assert ended.code == 2 and len(ended.stderr) == 1
    assert ended.stderr[0].startswith("error: ") and message in ended.stderr[0]


def test_weights_are_refused_with_a_model_that_was_brought(synthcp, tmp_path):
    model, classes = tmp_path / "brought.py", len(open_dataset(SCENES).classes)
    model.write_text(f"import torch\n\ndef build():\n    return torch.nn.Conv2d(3, {classes}, 1)\n")
    source = ["--model", f"{model}:build", "--features", "logits", "--imperfect", f"heldout:{SCENES}&split=val"]
    ended = synthcp(
        "fit", "--data", SCENES, "--out", tmp_path / "x", "--quiet", *source, "--weights", "any.safetensors"
    )
    assert ended.code == 2 and len(ended.stderr) == 1
    assert ended.stderr[0].startswith("error: weights are for a model that is fitted here")


@pytest.mark.parametrize(
    ("budget", "line"),
    [(2, "2 images to annotate: "), (9, "3 images to annotate (all that could be scored, fewer than 9)")],
)
def test_a_budget_is_told_in_one_line(score, budget, line):
    ended = score("--budget", budget)
    assert ended.code == 0 and ended.stdout.splitlines()[-2].startswith(line)
    assert score("--budget", budget, "--json").stdout.count("\n") == 3


def test_an_audit_tells_where_its_report_is(synthcp, run_folder, tmp_path):
    out = tmp_path / "out"
    options = ("--monitor", run_folder, "--out", out, "--device", "cpu", "--quiet", "--most", 4)
    ended = synthcp("audit", "--data", SCENES, *options)
    assert ended.code == 0 and ended.stdout.splitlines() == [
        f"4 suspects in 3 images; report: {out / 'audit.html'}",
        f"next: synthcp fit --data '{SCENES}' --out RUN",
    ]


WAY_ON = "interrupted; given again reproduce goes on where it stopped, and so does fit with --resume"
DEBUG = "internal error: RuntimeError: one two; set SYNTHCP_DEBUG=1 to see the traceback"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (RuntimeError("one\ntwo"), 1, DEBUG),
        (
            OSError(28, "No space left on device", "x"),
            2,
            "error: [Errno 28] No space left on device: 'x'; make room, and give the command again",
        ),
        (package.SynthCPError("loss became nan"), 2, "error: loss became nan"),
        (KeyboardInterrupt(), 130, WAY_ON),
    ],
)
def test_a_failure_is_one_line_and_a_traceback_for_those_who_ask(synthcp, monkeypatch, error, code, line):
    def broken(out):
        raise error

    monkeypatch.delenv("SYNTHCP_DEBUG", raising=False)
    monkeypatch.setattr("synthcp.report.html.write_report", broken)
    ended = synthcp("report", "x")
    assert (ended.code, ended.stderr) == (code, [line])
    monkeypatch.setenv("SYNTHCP_DEBUG", "1")
    with pytest.raises(type(error)):
        synthcp("report", "x")


@pytest.mark.parametrize(
    ("error", "code"),
    [(RuntimeError("x"), 1), (OSError("x"), 2), (MemoryError("x"), 1), (package.SynthCPError("x"), 2)],
)
def test_what_was_kept_is_told_whatever_ends_a_command(synthcp, monkeypatch, error, code):
    def broken(out):
        error.add_note("what was done is kept in HERE; go on with --resume")
        raise error

    monkeypatch.delenv("SYNTHCP_DEBUG", raising=False)
    monkeypatch.setattr("synthcp.report.html.write_report", broken)
    ended = synthcp("report", "x")
    assert (ended.code, len(ended.stderr)) == (code, 1)
    assert "x; what was done is kept in HERE; go on with --resume" in ended.stderr[0]


def test_a_name_that_a_terminal_cannot_write_ends_no_command(synthcp):
    ended = synthcp("report", "no\udcff")
    assert ended.code == 2 and len(ended.stderr) == 1 and r"no\udcff/run.json is missing" in ended.stderr[0]


def test_fit_takes_every_option(synthcp, fitted, tmp_path):
    config = tmp_path / "own.json"
    config.write_text('{"scale": {"gan": {"steps": 7}}}')
    options = "--variant paper --scale tiny --seed 3 --resume --no-controls --perceptual vgg19"
    more = ["--device", "cpu", "--precision", "bf16", "--quiet", "--config", config, "--imperfect", "kfold:5"]
    more += ["--perceptual-weights", "a:b.safetensors", "--trunk", "resnet50", "--weights", "hub"]
    more += ["--comparator-trunk", "timm:hrnet_w18", "--comparator-weights", "c.safetensors"]
    ended = synthcp("fit", "--data", SCENES, "--out", tmp_path / "x", *options.split(), *more)
    gain, following = ended.stdout.splitlines()
    assert ended.code == 0 and gain == "errors are ranked: AP-Error 57 by F, 44 by M's own uncertainty"
    assert following == f"next: synthcp score IMAGES --monitor {tmp_path / 'x'} --out out/x"
    dataset, out, chosen, others = fitted[0]
    facts = others["facts"]
    tiny = SCALES["tiny"]
    scale = replace(tiny, gan=replace(tiny.gan, steps=7))
    expected = FitConfig(
        "paper",
        scale,
        seed=3,
        controls=False,
        resume=True,
        device="cpu",
        precision="bf16",
        perceptual="vgg19",
        perceptual_weights="a:b.safetensors",
        model="deeplab",
        imperfect=KFold(5),
        trunk="resnet50",
        weights="hub",
        comparator_trunk="timm:hrnet_w18",
        comparator_weights="c.safetensors",
    )
    assert chosen == expected
    assert list(dataset.ids) == ["train-0000", "train-0001", "train-0002"] and out == tmp_path / "x"
    assert facts["data"] == SCENES and facts["command"].startswith("synthcp fit --data ")


def test_fit_tells_in_one_line_which_classes_never_occur(synthcp, write_cityscapes, tmp_path):
    root = write_cityscapes(tmp_path / "cityscapes", {"train": {"aachen": 2, "ulm": 2}})
    refused = ["--imperfect", "kfold:3?rule=group"]  # after the labels were checked
    ended = synthcp("fit", "--data", f"cityscapes:{root}", "--out", tmp_path / "run", "--scale", "tiny", *refused)
    (line,) = (line for line in ended.stdout.splitlines() if "without a pixel" in line)
    assert "in the 4 label maps" in line and "wall, fence, traffic light" in line and "road" not in line


def test_a_run_is_not_fitted_over(synthcp, run_folder):
    ended = synthcp("fit", "--data", SCENES, "--out", run_folder, "--device", "cpu", "--precision", "fp32")
    assert ended.code == 2 and "--resume" in ended.stderr[0]


def test_the_demo_ends_with_its_table_and_report(synthcp, monkeypatch, smallest_scale, tmp_path):
    from synthcp.verbs import demo

    monkeypatch.setattr(demo, "DEMO_SCALE", smallest_scale)
    for name, count in (("TRAIN_SCENES", 8), ("TEST_SCENES", 3)):
        monkeypatch.setattr(demo, name, replace(getattr(demo, name), count=count, height=48, width=64))
    ended = synthcp("demo", "--out", tmp_path / "demo", "--seed", 5)
    assert (ended.code, ended.stderr) == (0, [])
    report = tmp_path / "demo" / "report.html"
    assert report.is_file() and "prevalence" in ended.stdout
    assert ended.stdout.splitlines()[-2:] == [
        f"report: {report}",
        f"next: synthcp score IMAGES --monitor {tmp_path / 'demo'} --out out/demo",
    ]
    settings = load_settings(report.parent)
    assert settings.facts["seed"] == "5" and "seed=5" in settings.facts["data"]


@pytest.mark.slow
def test_the_demo_of_volumes_leaves_their_files_beside_the_maps(synthcp, monkeypatch, tmp_path):
    from synthcp.verbs import demo

    scale, side = demo.VOLUME_SCALE, (24, 24, 24)
    parts = {name: replace(getattr(scale, name), steps=2) for name in ("segmentation", "gan", "comparator")}
    monkeypatch.setattr(demo, "VOLUME_SCALE", replace(scale, patch=side, **parts))
    monkeypatch.setattr(demo, "PHANTOMS", replace(demo.PHANTOMS, count=10, size=side))
    ended = synthcp("demo", "--volumes", "--out", tmp_path / "demo", "--seed", 5)
    assert ended.code == 0 and ended.stderr == []
    assert ended.stdout.splitlines()[-2:] == [
        f"report: {tmp_path / 'demo' / 'report.html'}",
        f"next: synthcp score VOLUMES --monitor {tmp_path / 'demo'} --out out/demo",
    ]
    maps = sorted(path.name for path in (tmp_path / "demo" / "maps").glob("*_error.nii.gz"))
    assert maps and all((tmp_path / "demo/phantoms/imagesTr" / name.replace("_error", "")).is_file() for name in maps)
    assert load_settings(tmp_path / "demo").preparation == demo.PREPARATION


def test_eval_prints_and_writes_its_tables(synthcp, run_folder, tmp_path):
    options = ["--out", tmp_path / "out", "--markdown", tmp_path / "docs" / "scenes.md", "--detectors", "msp,synthcp"]
    ended = synthcp("eval", "--monitor", run_folder, "--data", SCENES, "--device", "cpu", *options)
    assert (ended.code, ended.stderr) == (0, [])
    page = (tmp_path / "docs" / "scenes.md").read_text()
    assert page.startswith("# Results on scenes\n")
    for fact in (f"| data | {SCENES} |", "| split | test |", "| seed | 0 |", "prevalence", "mIoU of M", "| hardware |"):
        assert fact in page
    assert "entropy" not in page and "| msp |" in page and "msp" in ended.stdout
    assert ended.stdout.splitlines()[-1] == f"next: synthcp calibrate --monitor {run_folder} --data SPEC"


def test_eval_on_the_images_of_the_fit_is_warned_of(synthcp, run_folder, tmp_path):
    data = f"{SCENES}&split=train"
    ended = synthcp("eval", "--monitor", run_folder, "--data", data, "--out", tmp_path, "--device", "cpu")
    assert ended.code == 0
    assert ended.stderr == ["warning: the fit saw 3 of these 3 image ids; the scores may flatter"]
    assert json.loads((tmp_path / "metrics.json").read_text())["settings"]["split"] == "train"


def calibrate(synthcp, run: Path, *options):
    data = "scenes:?count=12&size=48x64"
    return synthcp("calibrate", "--monitor", run, "--data", data, "--device", "cpu", "--quiet", *options)


EASY = "--alpha 0.3 --delta 0.2 --floor 0.05 --area 0.1".split()


def test_calibrate_stores_what_it_says(synthcp, run):
    ended = calibrate(synthcp, run, *EASY)
    assert (ended.code, ended.stderr) == (0, [])
    told, calibration = " ".join(ended.stdout.replace("│", " ").split()), load_settings(run).calibration
    assert calibration.promise == Promise(0.3, 0.2, 0.05, 0.1) and calibration.data.endswith("48x64, split val")
    assert "12 images of scenes:?count=12&size=48x64, split val" in told
    assert "probability 70 % or more" in told and "on average at most 10 %" in told
    for name, radius in calibration.intervals.radii.items():
        assert f"{name} +- {radius:.2f}" in told
    assert ended.stdout.splitlines()[-1] == f"next: synthcp score IMAGES --monitor {run} --out out/run"


def test_a_calibrated_monitor_decides(synthcp, score, run, tmp_path):
    calibrate(synthcp, run, *EASY)
    ended = score("--quiet", run=run)
    rows = read_rows(tmp_path / "out")
    decisions = [row.decision for row in rows]
    counts = f"{decisions.count('accept')} accepted, {decisions.count('review')} to review"
    assert ended.code == 0 and f" with an alarm, {counts}; report: " in ended.stdout
    printed = [json.loads(line) for line in score("--json", run=run).stdout.splitlines()]
    assert [row["decision"] for row in printed] == decisions
    assert printed[0]["intervals"]["road"] == pytest.approx(rows[0].intervals["road"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "12 calibration images are too few: a false-alarm area of 0.01 needs 99; add images"),
        (["--area", "0.1"], "a review threshold at alpha 0.1 and delta 0.05 needs 29"),
        ([*EASY, "--split", "train"], "the fit saw 12 of the 12 calibration images, such as train-0000"),
        (["--alpha", "1.5"], "alpha 1.5 must lie between 0 and 1"),
        (["--floor", "50"], "floor 50.0 must lie between 0 and 1"),
        (["--split", "vol"], "no split 'vol'"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(synthcp, run_folder, options, message):
    ended = calibrate(synthcp, run_folder, *options)
    assert ended.code == 2 and len(ended.stderr) == 1 and ended.stdout == ""
    assert ended.stderr[0].startswith("error: ") and message in ended.stderr[0]
    assert load_settings(run_folder).calibration is None


def test_score_as_json_is_one_row_per_line_and_a_shard_scores_its_part(score):
    rows = [json.loads(line) for line in score("--json", "--shard", "1/2").stdout.splitlines()]
    assert [row["id"] for row in rows] == ["test-0000", "test-0002"]
    assert rows[0]["true_error_share"] is None and 0 < rows[0]["error_share"] < 1


@pytest.mark.parametrize(
    ("share", "options", "broken", "code"),
    [
        (0.0, ["--fail-on-alarm"], False, 4),
        (0.0, [], False, 0),
        (1.0, ["--fail-on-alarm"], False, 0),
        (0.0, ["--fail-on-alarm"], True, 3),  # a failure counts more than an alarm
    ],
)
def test_an_alarm_fails_on_demand_only(score, run, images, share, options, broken, code):
    settings = load_settings(run)
    thresholds = replace(Thresholds(), error_share=share)
    save_settings(run, replace(settings, learnt=replace(settings.learnt, thresholds=thresholds)))
    if broken:
        (images / "bad.png").write_bytes(b"")
    ended = score(*options, run=run)
    assert ended.code == code and len(ended.stderr) == int(broken)
    if broken:
        assert ended.stderr[0].startswith("1 of 4 images failed, see ") and "bad.png is empty" in ended.stderr[0]


def test_score_says_where_its_report_is_and_it_can_be_written_again(synthcp, score, run_folder, tmp_path):
    report, ended = tmp_path / "out" / "report.html", score("--quiet")
    assert (ended.code, ended.stderr) == (0, [])
    told, following = ended.stdout.splitlines()
    assert told.startswith("3 images, ") and told.endswith(f"report: {report}")
    assert following == f"next: synthcp calibrate --data LABELLED --monitor {run_folder}"
    first = report.read_text()
    report.unlink()
    assert synthcp("report", report.parent).stdout == f"report: {report}; next: open it in a browser\n"
    assert report.read_text() == first


def test_a_promise_about_another_model_is_told_not_to_hold(synthcp, score, run, tmp_path):
    calibrate(synthcp, run, *EASY)
    settings = load_settings(run)
    save_settings(run, replace(settings, calibration=replace(settings.calibration, model="hf:other")))
    ended = score("--quiet", run=run)
    assert ended.code == 0 and {row.decision for row in read_rows(tmp_path / "out")} == {""}
    assert len(ended.stderr) == 1 and "the calibration is about hf:other, not about this M" in ended.stderr[0]


def test_an_output_folder_inside_the_input_is_not_scored_and_what_is_left_out_is_told(synthcp, run_folder, tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        Image.new("RGB", (64, 48), "red").save(folder / f"{name}.png")
    (folder / "c.heic").touch()
    line = ("score", folder, "--monitor", run_folder, "--out", folder / "out", "--device", "cpu", "--quiet")
    told = []
    for _ in range(3):
        ended = synthcp(*line)
        assert ended.code == 0 and ended.stdout.startswith("2 images")
        assert [row.id for row in read_rows(folder / "out")] == ["a", "sub/b"]
        told.append(ended.stderr)
    assert told[0] == [f"note: left out of {folder}: 1 .heic (c.heic)"]
    assert len(told[2]) == 1 and "1 folder of earlier results (out/maps)" in told[2][0]
