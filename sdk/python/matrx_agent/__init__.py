"""What a program in a sandbox asks of the sandbox that it runs in.

info() says who and where it is, status() how the sandbox is, checkpoint() saves
the home now, and heartbeat(), complete() and error() report to the orchestrator.

Nothing but the standard library is used, and what takes long to import is
imported by the function that needs it: a program that asks for a path pays for
nothing else.
"""

from ._control import CheckpointFailed, Checkpoint, Status, checkpoint, status
from ._errors import AgentError, NotInSandbox
from ._info import Info, cold_path, hot_path, info
from ._orchestrator import OrchestratorFailed, complete, error, heartbeat

__all__ = [
    "AgentError",
    "Checkpoint",
    "CheckpointFailed",
    "Info",
    "NotInSandbox",
    "OrchestratorFailed",
    "Status",
    "checkpoint",
    "cold_path",
    "complete",
    "error",
    "heartbeat",
    "hot_path",
    "info",
    "status",
]
