"""Who and where the sandbox is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from ._errors import NotInSandbox


class Info(NamedTuple):
    """The sandbox that this program runs in."""

    sandbox_id: str
    user_id: str
    hot_path: Path
    """The home: what is written here is kept."""
    cold_path: Path
    """A second S3 prefix as a directory, for what is large."""


def info() -> Info:
    """Says who and where the sandbox is.

    sandbox-init's own state counts; the environment is asked for what that does
    not have. Raises NotInSandbox when there is neither.
    """
    state = read_state()
    sandbox_id = str(state.get("sandbox_id") or os.environ.get("SANDBOX_ID", ""))
    if not sandbox_id:
        raise NotInSandbox(
            f"cannot tell which sandbox this is: {state_file()} is not there and SANDBOX_ID is not set"
        )
    return Info(
        sandbox_id=sandbox_id,
        user_id=str(state.get("user_id") or os.environ.get("USER_ID", "")),
        hot_path=Path(state.get("hot_path") or os.environ.get("HOT_PATH") or "/home/agent"),
        cold_path=Path(state.get("cold_path") or os.environ.get("COLD_PATH") or "/data/cold"),
    )


def hot_path(*parts: str) -> Path:
    """A path in the home, which is kept: hot_path("notes", "a.md")."""
    return info().hot_path.joinpath(*parts)


def cold_path(*parts: str) -> Path:
    """A path below the cold path."""
    return info().cold_path.joinpath(*parts)


def run_dir() -> Path:
    """Where sandbox-init's socket and state are."""
    return Path(os.environ.get("SANDBOX_RUN_DIR") or "/run/sandbox")


def state_file() -> Path:
    """What sandbox-init writes, by rename, whenever its state changes."""
    return run_dir() / "state.json"


def read_state() -> dict[str, Any]:
    """sandbox-init's state; empty where there is none."""
    import json

    try:
        text = state_file().read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise NotInSandbox(f"cannot read {state_file()}: {e.strerror}") from e
    try:
        state = json.loads(text)
    except ValueError as e:
        raise NotInSandbox(f"cannot read {state_file()}: {e}") from e
    return state if isinstance(state, dict) else {}
