"""The exceptions that all parts share."""

from __future__ import annotations

from dataclasses import dataclass


class SandboxError(Exception):
    """What was asked for could not be done; the text says what, and why."""


class ProgramMissing(SandboxError):
    """The program sandbox is not there."""


class ProgramFailed(SandboxError):
    """The program sandbox could not answer."""


@dataclass(frozen=True)
class Refusal:
    """One part of a request that no image answers."""

    kind: str  # task, runtime, capability, tool, variant, preferred image, combination, nothing
    name: str  # what was asked for; "" for a combination
    nearest: tuple[str, ...]  # names that come close, or the images that lack least
    reason: str


class Refused(SandboxError):
    """No image has what is asked; nothing was selected in its place."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__("\n".join(r.reason for r in refusals))
        self.refusals = refusals
