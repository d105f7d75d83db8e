"""What the tests in the container found out, as a table at the end."""

from collections.abc import Callable

import pytest

Show = Callable[[str, str], None]

_SHOWN: list[tuple[str, str]] = []


@pytest.fixture(scope="session")
def show() -> Show:
    """Takes what was shown, and the figure."""
    return lambda what, figure: _SHOWN.append((what, figure))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if not _SHOWN:
        return
    width = max(len(what) for what, _ in _SHOWN)
    terminalreporter.section("shown under a real systemd")
    for what, figure in _SHOWN:
        terminalreporter.write_line(f"{what:{width}}  {figure}")
