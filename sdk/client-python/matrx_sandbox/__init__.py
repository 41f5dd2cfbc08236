"""What a platform asks before it starts a sandbox.

select() says which image has what a task, a runtime or a program needs, and with which
access and limits it is meant to run. It asks the program `sandbox`, which decides; nothing is
decided here. resolve() names the image of a variant and a version, and variants() are
those that there are.

What no image has is refused: Refused says what was asked for and what comes close.
"""

from ._errors import ProgramFailed, ProgramMissing, Refusal, Refused, SandboxError
from ._select import Alternative, Limits, Needs, Selection, resolve, select, variants

__all__ = [
    "Alternative",
    "Limits",
    "Needs",
    "ProgramFailed",
    "ProgramMissing",
    "Refusal",
    "Refused",
    "SandboxError",
    "Selection",
    "resolve",
    "select",
    "variants",
]
