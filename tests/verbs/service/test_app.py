"""A service, asked over HTTP: it says what the monitor says, and what fails costs one image alone."""

from __future__ import annotations

import io
import json
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from asking import BOUNDARY, MOODY, TOKEN, Part, form, png, serving
from moody import DIES, EXITS, HANGS, IS_NAN, RAISES, SECRET, SLEEPS
from PIL import Image

from synthcp.monitor.monitor import Monitor
from synthcp.records import Assessment
from synthcp.report.rows import row_of, row_values
from synthcp.verbs.facts import identity
from synthcp.verbs.service.gate import PATHS

BATCH = "/v1/assess/batch"


@pytest.fixture
def expected(monitor: Monitor, tmp_path: Path):
    """What the monitor says of the content of a file."""

    def assess(content: bytes) -> Assessment:
        (tmp_path / "image.png").write_bytes(content)
        return monitor.assess(tmp_path / "image.png")

    return assess


def same(told: dict, assessment: Assessment, monitor: Monitor) -> bool:
    row = row_values(row_of("", "", assessment, monitor.classes, monitor.settings.thresholds.anomaly))
    names = row.keys() - {"id", "source"}
    return all(told[name] == pytest.approx(row[name], abs=1e-5) for name in names - {"regions"}) and [
        region["box"] for region in told["regions"]
    ] == [region["box"] for region in row["regions"]]


def test_an_answer_is_what_the_monitor_says_of_the_file(ask, streets, expected, monitor):
    for content in streets:
        assessment = expected(content)
        reply = ask.assess(Part(content, "../street/photo.png"))
        assert reply.code == 200 and same(reply.told, assessment, monitor), reply
        assert (reply.told["id"], reply.told["status"]) == ("photo", "ok")
        bare = ask("POST", "/v1/assess", content, "image/png")
        assert bare.code == 200 and same(bare.told, assessment, monitor) and bare.told["id"] == "image"


def test_the_maps_are_those_of_the_monitor(ask, streets, expected):
    assessment = expected(streets[0])
    arrays = ask.assess(streets[0], path="/v1/assess?maps=npz").told["maps"]
    with np.load(io.BytesIO(b64decode(arrays["maps.npz"]))) as maps:
        assert np.array_equal(maps["prediction"], assessment.label_map.numpy())
        assert np.allclose(maps["error"], assessment.error_map.numpy(), atol=1e-5)
    pictures = ask.assess(streets[0], path="/v1/assess?maps=png").told["maps"]
    assert set(pictures) == {
        "prediction.png", "synthesis.png", "error.png", "error_16bit.png", "anomaly.png", "anomaly_16bit.png",
    }  # fmt: skip
    error = np.array(Image.open(io.BytesIO(b64decode(pictures["error_16bit.png"])))) / 65535
    assert np.allclose(error, assessment.error_map.numpy(), atol=1e-4)
    assert "maps" not in ask.assess(streets[0]).told
    refused = ask.assess(streets[0], path="/v1/assess?maps=nifti")
    assert refused.code == 422 and "maps=nifti is of volumes" in refused.told["message"]


def test_a_batch_is_its_images_and_one_that_is_bad_costs_no_other(ask, streets, expected, monitor):
    parts = [Part(content, f"{number}.png") for number, content in enumerate(streets)]
    bad = Part(b"no image", "bad.png")
    reply = ask.assess(*parts[:2], bad, *parts[2:], path=BATCH)
    assert reply.code == 200
    *_, third, _, _ = results = reply.told["results"]
    assert [each["id"] for each in results] == ["0", "1", "bad", "2", "3"]
    assert (third["code"], third["status"]) == (422, "error") and third["message"].startswith("image.png is not an")
    for content, told in zip(streets, [*results[:2], *results[3:]], strict=True):
        assert told["code"] == 200 and same(told, expected(content), monitor)


@pytest.mark.parametrize(
    ("mood", "told"),
    [
        (IS_NAN, "M gave "),
        (RAISES, "M, G or F failed with RuntimeError; the log of the service says more"),
        (EXITS, "M, G or F failed with SystemExit; the log of the service says more"),
        (DIES, "the process that judged the image died or hung; "),
    ],
)
def test_what_fails_is_an_error_of_that_image_and_the_next_is_judged(ask, streets, mood, told):
    reply = ask.assess(png(mood))
    assert reply.code == 500 and reply.told["status"] == "error" and reply.told["message"].startswith(told)
    assert SECRET not in reply.body.decode() and reply.told["request_id"] == reply.headers["x-request-id"]
    assert ask.ready().assess(streets[0]).code == 200


@pytest.mark.slow
def test_neighbours_of_an_image_that_kills_its_process_are_judged(run_folder, tmp_path, streets):
    same_size = [png(SLEEPS), streets[0], png(DIES), streets[1]]
    with serving(run_folder, tmp_path, "--model", MOODY) as ask:
        reply = ask.assess(*(Part(each, f"{number}.png") for number, each in enumerate(same_size)), path=BATCH)
    assert [each["code"] for each in reply.told["results"]] == [200, 200, 500, 200]


@pytest.mark.slow
def test_what_hangs_is_504_and_its_process_is_replaced(ask, streets):
    begun = time.monotonic()
    reply = ask.assess(png(HANGS))
    assert reply.code == 504 and 3 <= time.monotonic() - begun < 5
    assert reply.told["message"].startswith("there was no answer in time; ")
    while ask.ready().assess(streets[0]).code != 200:  # which waits behind the one that hangs
        assert time.monotonic() - begun < 60


def test_no_place_is_429_with_the_time_to_wait(ask):
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: ask.assess(png(SLEEPS)), range(12)))
    codes = [reply.code for reply in replies]
    assert set(codes) <= {200, 429, 504} and codes.count(429) >= 3 and codes.count(200) >= 3, codes
    refused = next(reply for reply in replies if reply.code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert "all of the 6 places for images are taken" in refused.told["message"]
    several = ask.assess(*(Part(png(SLEEPS), f"{number}.png") for number in range(7)), path=BATCH)
    assert several.code == 422 and several.told["message"].startswith("7 parts are called image; send 1 to 6")


def test_tokens(ask, streets):
    content, kind = form([streets[0]]), f"multipart/form-data; boundary={BOUNDARY}"
    for token in ("", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xe9"):
        reply = ask("POST", "/v1/assess", content, kind, Authorization=token)
        assert reply.code == 401 and reply.headers["www-authenticate"] == "Bearer", token
        assert TOKEN not in reply.body.decode()
    for token in (f"Bearer {TOKEN}", f"bearer {TOKEN}", "Bearer another-token-0123456789"):
        assert ask("POST", "/v1/assess", content, kind, Authorization=token).code == 200
    for path, code in {
        "/healthz": 200,
        "/readyz": 200,
        "/docs": 200,
        "/metrics": 401,
        "/v1/monitor": 401,
        "/": 401,
    }.items():
        assert ask("GET", path, Authorization="").code == code


def test_what_judges_is_told(ask, monitor):
    told = ask("GET", "/v1/monitor").told
    assert told["classes"] == list(monitor.classes.names) and (told["channels"], told["measure"]) == (3, "IoU")
    assert told["model"] == MOODY and not told["calibrated"] and not told["takes_predictions"]
    assert len(told["fingerprint"]) == len(identity(monitor)["monitor"])


def test_the_schema_lists_the_routes(ask):
    schema = ask("GET", "/openapi.json").told
    assert set(schema["paths"]) == {"/v1/assess", BATCH, "/v1/monitor", "/healthz", "/readyz", "/metrics"}
    assert set(PATHS) == schema["paths"].keys() | {"/docs", "/openapi.json"}
    content = schema["paths"]["/v1/assess"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "image/png", "application/gzip"} <= set(content)
    assert {"413", "415", "422", "429", "500", "504"} <= set(schema["paths"][BATCH]["post"]["responses"])


def test_prometheus_counts(ask, streets):
    def count() -> float:
        lines = ask("GET", "/metrics").body.decode().splitlines()
        return float(next(line for line in lines if line.startswith('synthcp_images_total{code="200"')).split()[1])

    assert ask.assess(streets[0]).code == 200
    before = count()
    assert ask.assess(streets[0], streets[1]).code == 422  # two images
    assert ask.assess(Part(streets[0], "a.png"), Part(streets[1], "b.png"), path=BATCH).code == 200
    assert count() == before + 2


def test_the_id_of_a_request_goes_from_the_client_to_the_log(ask, streets):
    reply = ask.assess(streets[0], **{"X-Request-ID": "camera-7.frame_12"})
    assert reply.headers["x-request-id"] == reply.told["request_id"] == "camera-7.frame_12"

    def events() -> list[str]:
        lines = [json.loads(line) for line in ask.log.read_text().splitlines() if line.endswith("}")]
        return [each["event"] for each in lines if each.get("request_id") == "camera-7.frame_12"]

    until = time.monotonic() + 10
    while len(events()) < 2 and time.monotonic() < until:
        time.sleep(0.02)  # an answer is logged when it has gone
    assert events() == ["accepted", "answered"]
    other = ask.assess(streets[0], **{"X-Request-ID": "a b\x7f"}).headers["x-request-id"]
    assert len(other) == 32


def test_sigterm_lets_what_was_accepted_be_answered(run_folder, tmp_path):
    with serving(run_folder, tmp_path, "--model", MOODY, "--batch", 1) as ask, ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(ask.assess, png(SLEEPS)) for _ in range(4)]
        while ask.log.read_text().count('"accepted"') < 4:
            time.sleep(0.02)
        ask.process.terminate()
        assert [reply.result().code for reply in replies] == [200] * 4
        assert ask.process.wait(20) == 0
        events = [json.loads(line)["event"] for line in ask.log.read_text().splitlines()]
        assert events[-1] == "ended" and events.count("answered") == 4


@pytest.mark.slow
def test_workers_end_when_the_service_is_killed(run_folder, tmp_path):
    with serving(run_folder, tmp_path) as ask:
        (worker,) = workers_of(ask.process.pid)
        ask.process.kill()
        ask.process.wait()
        begun = time.monotonic()
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() - begun < 10
            time.sleep(0.1)


def workers_of(process: int) -> list[str]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    children = [pid for task in tasks for pid in task.read_text().split()]
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_what_cannot_begin_is_one_line(synthcp, run_folder, tmp_path, ask):
    (tmp_path / "tokens").write_text("short\n")
    for options, told in (
        (("--monitor", tmp_path), "holds no finished monitor"),
        (("--port", ask.port), f"127.0.0.1:{ask.port} cannot be listened on (Address already in use); choose another"),
        (("--token-file", tmp_path / "tokens"), "must hold tokens of 16 letters or more"),
        (("--token-file", tmp_path / "none"), "cannot be read as tokens"),
        (("--host", ""), "--host is empty; name an address: 127.0.0.1, or 0.0.0.0 for every one"),
        (("--queue", 0), "'0' is no whole number from 1 to 10000"),
    ):
        ended = synthcp("serve", "--monitor", run_folder, "--port", 0, "--device", "cpu", *options)
        assert ended.code == 2 and len(ended.stderr) == 1 and told in ended.stderr[0], ended


def test_without_the_extra_its_name_is_told(synthcp, run_folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    ended = synthcp("serve", "--monitor", run_folder)
    assert ended.code == 2 and 'pip install "synthcp[serve]"' in ended.stderr[0]
