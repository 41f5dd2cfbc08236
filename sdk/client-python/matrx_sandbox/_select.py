"""sandbox select --json, as values with types."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._errors import ProgramFailed, ProgramMissing, Refusal, Refused

_REFUSED = (1, 2)  # no image has it; nothing was asked for
_TIMEOUT = 30.0  # seconds; it answers in milliseconds


@dataclass(frozen=True)
class Limits:
    """What a sandbox of the image gets unless it is said otherwise."""

    memory_mb: int
    cpu_cores: float
    timeout_seconds: int
    max_processes: int
    disk_mb: int = 0  # 0: no limit of the image's own


@dataclass(frozen=True)
class Needs:
    """What an image must have for the request, by name."""

    task: str  # by its first name; "" when none was asked
    capabilities: tuple[str, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True)
class Alternative:
    """An image that was not selected."""

    image: str
    version: str
    reference: str
    size_mb: int  # unpacked; 0 is unknown
    fits: bool  # it has all that is asked
    lost: str  # why it was not selected


@dataclass(frozen=True)
class Selection:
    """The image for a request."""

    image: str  # its name: a variant, for the family's images
    version: str
    reference: str  # what an engine or a registry calls it
    reason: str
    access: str  # restricted, full
    limits: Limits
    needs: Needs
    size_mb: int
    registered: bool  # it is the user's own
    digest: str  # of a registered image, as it was registered
    suite: str  # what the suite said of a registered image
    alternatives: tuple[Alternative, ...]
    raw: Mapping[str, Any] = field(compare=False, repr=False)  # the whole answer


def select(
    *,
    task: str | None = None,
    runtime: str | None = None,
    capabilities: Iterable[str] = (),
    tools: Iterable[str] = (),
    prefer: Iterable[str] = (),
    untested: bool = False,
    registry: str | None = None,
    program: str | os.PathLike[str] = "sandbox",
) -> Selection:
    """The smallest image that has all that is asked.

    task is a name as "research", runtime one with or without a version as
    "python>=3.12", tools commands with or without one. An image in prefer is taken
    if it has all of it. untested also takes registered images that the suite has not passed.

    Raises Refused when no image has it, ProgramMissing and ProgramFailed.
    """
    arguments: list[str] = []
    for flag, value in (("task", task), ("runtime", runtime), ("registry", registry)):
        if value is not None:
            arguments.append(f"--{flag}={value}")
    for flag, values in (("capability", capabilities), ("tool", tools), ("prefer", prefer)):
        if isinstance(values, str):  # its letters would be asked for one by one
            raise TypeError(f"{flag}: give several names, as [{values!r}], not a string")
        arguments += [f"--{flag}={value}" for value in values]
    if untested:
        arguments.append("--untested")
    answer = _ask(program, arguments)
    try:
        return _selection(answer)
    except (KeyError, TypeError) as e:
        raise ProgramFailed(f"cannot understand the answer of {os.fspath(program)}: {e!r}; are both of one release?") from e


def resolve(
    variant: str,
    version: str | None = None,
    *,
    registry: str | None = None,
    program: str | os.PathLike[str] = "sandbox",
) -> str:
    """The reference of a variant and a version, below a registry's base."""
    arguments = [f"--variant={variant}"]
    if version is not None:
        arguments.append(f"--version={version}")
    if registry is not None:
        arguments.append(f"--registry={registry}")
    answer = _ask(program, arguments)
    return str(answer["reference"])


def variants(*, program: str | os.PathLike[str] = "sandbox") -> tuple[str, ...]:
    """The variants that there are, parents before children."""
    return tuple(str(name) for name in _ask(program, ["--list=variants"]))


def _selection(answer: Mapping[str, Any]) -> Selection:
    limits, needs = answer["limits"], answer["needs"]
    return Selection(
        image=answer["image"],
        version=answer["version"],
        reference=answer["reference"],
        reason=answer["reason"],
        access=answer["access"],
        limits=Limits(limits["memory_mb"], limits["cpu_cores"], limits["timeout_seconds"], limits["max_processes"], limits.get("disk_mb", 0)),
        needs=Needs(needs.get("task", ""), tuple(needs["capabilities"]), tuple(needs["tools"])),
        size_mb=answer.get("size_mb", 0),
        registered=answer["registered"],
        digest=answer.get("digest", ""),
        suite=answer.get("suite", ""),
        alternatives=tuple(
            Alternative(a["image"], a["version"], a["reference"], a.get("size_mb", 0), a["fits"], a["lost"])
            for a in answer["alternatives"]
        ),
        raw=answer,
    )


def _ask(program: str | os.PathLike[str], arguments: list[str]) -> Any:
    name = os.fspath(program)
    try:
        done = subprocess.run(
            [name, "select", "--json", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except (FileNotFoundError, PermissionError) as e:
        raise ProgramMissing(f"cannot start {name}: {e.strerror}; install the program sandbox, or name it in program=") from e
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ProgramFailed(f"cannot ask {name}: {e}") from e
    said = done.stderr.decode(errors="replace").strip()
    try:
        answer = json.loads(done.stdout) if done.stdout else None
    except ValueError:
        answer = None
    if done.returncode in _REFUSED and isinstance(answer, dict) and "refused" in answer:
        raise Refused(
            tuple(Refusal(r["kind"], r.get("name", ""), tuple(r.get("nearest", ())), r["reason"]) for r in answer["refused"])
        )
    if done.returncode != 0 or answer is None:
        raise ProgramFailed(f"{name} ended with exit code {done.returncode}: {said or 'it said nothing'}")
    return answer
