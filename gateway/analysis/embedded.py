"""The engine that every gateway has on board."""

from functools import cache
from pathlib import Path
from typing import Final

from gateway.analysis.engine import Engine
from gateway.analysis.linear import LinearEngine

WEIGHTS_DIRECTORY: Final = Path(__file__).parent / "weights"


@cache
def embedded_engine() -> Engine:
    """Return the engine that ships with the program; the first call reads its weights, later ones share it.

    Raises `gateway.analysis.linear.WeightsError` when the installation is damaged.
    """
    return LinearEngine.load(WEIGHTS_DIRECTORY)
