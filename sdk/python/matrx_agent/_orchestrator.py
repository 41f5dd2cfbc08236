"""Reports to the orchestrator, at ORCHESTRATOR_URL."""

from __future__ import annotations

import os
from typing import Any, Mapping

from ._errors import AgentError
from ._info import info

PATIENCE = 15.0
"""Seconds for which complete() and error() are repeated."""


class OrchestratorFailed(AgentError):
    """The orchestrator did not take the report."""


def heartbeat(progress: float | None = None, message: str | None = None, *, timeout: float = 5.0) -> bool:
    """Says that the program lives. progress is 0 to 1.

    Sent once: the next one is the retry. Returns False, and sends nothing, when
    ORCHESTRATOR_URL is not set; raises OrchestratorFailed when nobody took it.
    """
    if progress is not None and not 0 <= progress <= 1:
        raise ValueError(f"progress is {progress}, and must be 0 to 1")
    return _report("heartbeat", {"progress": progress, "message": message}, timeout, patience=0)


def complete(result: Any = None, *, timeout: float = 5.0) -> bool:
    """Says that the task is done. result is anything that JSON can carry.

    Saves nothing: call checkpoint() first when others rely on the files. Returns
    and raises as heartbeat does, after repeating it for PATIENCE seconds.
    """
    return _report("complete", {"result": result}, timeout, PATIENCE)


def error(message: str, details: Mapping[str, Any] | None = None, *, timeout: float = 5.0) -> bool:
    """Says that the task failed, and why. Otherwise as complete()."""
    return _report("error", {"message": message, "details": details}, timeout, PATIENCE)


def _report(kind: str, members: dict[str, Any], timeout: float, patience: float) -> bool:
    url = os.environ.get("ORCHESTRATOR_URL", "").rstrip("/")
    if not url:
        return False
    import datetime
    import json
    import random
    import time
    import urllib.parse

    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise OrchestratorFailed(f"cannot report to ORCHESTRATOR_URL={url}: it must begin with http:// or https://")
    me = info()
    body = {
        "sandbox_id": me.sandbox_id,
        "user_id": me.user_id,
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
    }
    body.update({name: value for name, value in members.items() if value is not None})
    data = json.dumps(body).encode()
    target = f"{url}/v1/sandboxes/{urllib.parse.quote(me.sandbox_id, safe='')}/{kind}"

    deadline = time.monotonic() + patience
    pause = 0.2
    while True:
        try:
            _post(target, data, timeout)
            return True
        except _Retryable as e:
            # With jitter, so that a thousand sandboxes do not come back as one.
            pause = min(2 * pause, 3.0)
            wait = pause * random.uniform(0.5, 1.0)
            if time.monotonic() + wait > deadline:
                raise OrchestratorFailed(f"cannot report {kind} to {target}: {e}") from e
            time.sleep(wait)


class _Retryable(Exception):
    pass


def _post(target: str, data: bytes, timeout: float) -> None:
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        target, data=data, method="POST", headers={"Content-Type": "application/json", "User-Agent": "matrx_agent"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout):
            return
    except urllib.error.HTTPError as e:
        with e:
            said = f"HTTP {e.code} {e.reason}"
            if e.code == 429 or e.code >= 500:
                raise _Retryable(said) from e
            raise OrchestratorFailed(f"cannot report to {target}: {said}: {e.read(200)!r}") from e
    except (OSError, http.client.HTTPException) as e:
        raise _Retryable(str(e) or repr(e)) from e
