"""Folders on the Hugging Face hub: the network is asked only for what is written as such, and no code is fetched."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from synthcp.errors import InputError, MissingExtraError, in_one_line
from synthcp.system.extras import import_extra

HUB = "hub:"
_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


def is_on_hub(text: str) -> bool:
    """Whether a text names something on the hub: hub:OWNER/NAME, or an OWNER/NAME that is no path here.

    Where OWNER is a folder, OWNER/NAME is a path, there or not.
    """
    owner = text.partition("/")[0]
    return text.startswith(HUB) or (_ID.fullmatch(text) is not None and not os.path.exists(owner))


def fetch(text: str, files: list[str]) -> Path:
    """Return the folder that holds what is on the hub; what was fetched before is not fetched again.

    Args:
        text: OWNER/NAME with or without "hub:", and with or without "@REVISION": a branch, a tag or a commit.
        files: Names of the files that are fetched, of those that are there; no other is.

    Raises:
        InputError: It is no such name, or the hub does not give it.
        MissingExtraError: huggingface_hub is not installed.
    """
    match = _ID.fullmatch(text.removeprefix(HUB))
    if match is None:
        raise InputError(f"{text} names nothing on the hub; write {HUB}OWNER/NAME, or {HUB}OWNER/NAME@REVISION")
    library = _library(f"{text} is no folder here, so it would be fetched from the hub")
    try:
        return Path(library.snapshot_download(match["repo"], revision=match["revision"], allow_patterns=files))
    except Exception as error:  # of the network, of the hub, of its client
        remedy = f"check the name, the network and your login, or write ./{match['repo']} for a folder"
        raise InputError(f"the hub does not give {match['repo']} ({in_one_line(error)}); {remedy}") from error


def upload(folder: Path, repo: str, *, stale: list[str], private: bool, message: str) -> str:
    """Put the files of a folder on the hub, in a repository that is made unless it is there; return its address.

    Args:
        folder: All of its files are uploaded.
        repo: OWNER/NAME.
        stale: Names of files there that are removed, unless the folder has them anew.
        private: Whether a repository that is made is.
        message: Of the commit.

    Raises:
        InputError: The name is no OWNER/NAME, or the hub does not take the files.
        MissingExtraError: huggingface_hub is not installed.
    """
    match = _ID.fullmatch(repo)
    if match is None or match["revision"]:
        raise InputError(f"{repo} is no name of a repository; write OWNER/NAME")
    library = _library(f"{repo} would be uploaded to the hub")
    try:
        address = library.create_repo(repo, private=private, exist_ok=True)
        library.upload_folder(repo_id=repo, folder_path=folder, commit_message=message, delete_patterns=stale)
    except Exception as error:
        raise InputError(f"the hub does not take {repo} ({in_one_line(error)}); log in by: hf auth login") from error
    return str(address)


def _library(wanted: str) -> Any:
    try:
        return import_extra("huggingface_hub", "hub")
    except MissingExtraError as error:
        raise MissingExtraError("huggingface_hub", "hub", wanted) from error
