"""The control socket: HTTP/1.1 on a unix socket, served by the storage process."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._errors import AgentError, NotInSandbox
from ._info import read_state, run_dir

LONGEST_ANSWER = 16 << 20
"""Bytes. A status with all its lists full has some 100 KiB."""


class CheckpointFailed(AgentError):
    """Not all that was on disk is in S3."""


class Status(NamedTuple):
    """How the sandbox is."""

    phase: str
    """boot, hydrate, run, drain, flush or exit."""
    ready: bool
    storage: str
    """"s3", or "none" when nothing is kept."""
    problem: str
    """What an operator should know, in one sentence; empty when all is well."""
    state: dict[str, Any]
    """All that PID 1 says."""
    saved: dict[str, Any] | None
    """All that the storage process says: what is in S3 and what is not yet.
    None when it does not answer, or when there is none."""


class Checkpoint(NamedTuple):
    """A checkpoint that succeeded."""

    sequence: int
    """The journal's number up to which S3 has everything."""
    files: int
    """Uploaded by this call."""
    bytes: int
    seconds: float


def status(timeout: float = 10.0) -> Status:
    """How the sandbox is. Raises NotInSandbox where there is none."""
    state = read_state()
    if not state:
        raise NotInSandbox(f"cannot ask for the status: there is no state.json in {run_dir()}")
    saved: dict[str, Any] | None = None
    if state.get("storage") == "s3":
        try:
            saved = _call("GET", "/v1/status", timeout)
        except (NotInSandbox, _Refused):
            saved = None
    return Status(
        phase=str(state.get("phase", "")),
        ready=bool(state.get("ready")),
        storage=str(state.get("storage", "")),
        problem=str(state.get("problem", "")),
        state=state,
        saved=saved,
    )


def checkpoint(timeout: float | None = None) -> Checkpoint:
    """Returns when all that was on disk at the call is in S3.

    Without a timeout (seconds) it waits as long as it takes. Raises
    CheckpointFailed when something could not be saved, or not in time, and
    NotInSandbox when there is no storage to ask.
    """
    if read_state().get("storage") == "none":
        raise NotInSandbox("cannot save: this sandbox has no storage (S3_BUCKET was not set)")
    try:
        done = _call("POST", "/v1/checkpoint", timeout)
    except _Refused as e:
        raise CheckpointFailed(f"cannot save everything: {e}") from e
    return Checkpoint(
        sequence=int(done.get("sequence", 0)),
        files=int(done.get("files", 0)),
        bytes=int(done.get("bytes", 0)),
        seconds=int(done.get("took_ns", 0)) / 1e9,
    )


class _Refused(Exception):
    """The server's own sentence, or that it took too long."""


def _call(method: str, path: str, timeout: float | None) -> dict[str, Any]:
    import http.client
    import json
    import socket

    address = str(run_dir() / "control.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout)
        try:
            s.connect(address)
        except OSError as e:
            raise NotInSandbox(f"cannot ask {address}: {e.strerror or e}") from e
        connection = http.client.HTTPConnection("sandbox")
        connection.sock = s
        try:
            connection.request(method, path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(LONGEST_ANSWER)
        except TimeoutError as e:
            raise _Refused(f"no answer within {timeout} s") from e
        except (OSError, http.client.HTTPException) as e:
            raise _Refused(f"the answer broke off: {e!r}") from e
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    if answer.status >= 400 or not isinstance(decoded, dict):
        said = decoded.get("error") if isinstance(decoded, dict) else None
        raise _Refused(str(said or f"HTTP {answer.status} {answer.reason}"))
    return decoded
