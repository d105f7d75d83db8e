"""What a process of the gateway may be for."""

from enum import StrEnum


class Role(StrEnum):
    """One kind of work; without a choice, a process does all of it."""

    INGEST = "ingest"
    """Takes what kiosks send, stores it, and sends the receipts; starts the broker, unless another one is named."""
    ANALYSE = "analyse"
    DELIVER = "deliver"
    WEB = "web"
