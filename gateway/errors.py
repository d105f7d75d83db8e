"""What the gateway tells a person who asked for something that cannot be done."""


class GatewayError(Exception):
    """Something failed for a reason that a person can act on; the text is one sentence that says what to do."""


class UsageError(GatewayError):
    """The person asked for something that makes no sense as it stands: a bad name, a bad URL, a missing option."""
