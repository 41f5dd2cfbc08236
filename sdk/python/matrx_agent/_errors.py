"""The exceptions that all parts share."""


class AgentError(Exception):
    """What was asked for could not be done; the text says what, and why."""


class NotInSandbox(AgentError):
    """There is no sandbox here, or it is not ready to be asked."""
