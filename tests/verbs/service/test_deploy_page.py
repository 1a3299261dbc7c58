"""The commands of docs/deploy.md: those for the program are taken by it, those for curl are run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from asking import TOKEN

from synthcp.cli.program import app

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
SERVE = [line for line in LINES if line.startswith(("synthcp serve", "ExecStart="))]
CURL = [line for line in LINES if line.startswith("curl ")]


def taken(arguments: list[str]) -> dict:
    """The options of a command line, as the program reads them."""
    command = typer.main.get_command(app)
    with command.make_context("synthcp", arguments) as context:
        return command.get_command(context, "serve").make_context("serve", arguments[1:]).params


@pytest.mark.parametrize("line", SERVE)
def test_the_program_takes_what_the_page_says(line):
    program, *arguments = shlex.split(line.removeprefix("ExecStart="))
    assert program.endswith("synthcp") and taken(arguments)["monitor"].name == "street"


@pytest.mark.parametrize("line", CURL)
def test_what_curl_is_told_is_answered(ask, streets, tmp_path, line):
    for name in ("photo.jpg", "other.jpg"):
        (tmp_path / name).write_bytes(streets[0])
    (tmp_path / "tokens").write_text(TOKEN)
    token = "" if "Authorization" in line else f' -H "Authorization: Bearer {TOKEN}"'
    command = line.replace(":8000", f":{ask.port}").replace("curl ", f"curl -s -w '\\n%{{http_code}}'{token} ", 1)
    ended = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    body, _, code = ended.stdout.rpartition("\n")
    assert code == "200", ended
    assert "/metrics" in line or json.loads(body)


def test_every_path_is_told(ask):
    for path in ask("GET", "/openapi.json").told["paths"]:
        assert f"{path}`" in PAGE, path


def test_the_container_and_its_probes_fit_the_service():
    entry = re.search(r"ENTRYPOINT (\[.*\])", (ROOT / "Dockerfile").read_text())
    program, *arguments = json.loads(entry[1])
    fragment = yaml.safe_load(re.search(r"## Kubernetes\n\n((?:    .*\n)+)", PAGE)[1].replace("\n    ", "\n")[4:])
    (container,) = fragment["containers"]
    options = taken([*arguments, *container["args"]])
    assert program == "synthcp" and (options["host"], options["port"], options["workers"]) == ("0.0.0.0", 8000, 1)
    probes = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert probes == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert fragment["terminationGracePeriodSeconds"] > options["seconds"] + 10
