"""The architecture page says what the code does."""

import ast
import re
import typing
from pathlib import Path

import pytest

from device.visit import states

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
OURS = ("contract", "audio", "firmware_bridge", "device", "gateway")


def imports_of(package: str) -> set[str]:
    """Return which of our packages the modules of one import."""
    found: set[str] = set()
    for path in (REPOSITORY / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found & set(OURS) - {package}


@pytest.mark.parametrize("package", OURS)
def test_who_may_know_whom_is_who_does(package: str) -> None:
    row = re.search(rf"^\| `{package}` \| (?P<imports>[^|]+) \|", PAGE, re.MULTILINE)
    assert row is not None
    assert imports_of(package) == set(re.findall(r"`(\w+)`", row["imports"]))


def test_every_phase_of_a_visit_has_its_row() -> None:
    rows = re.findall(r"^\| ([a-z ]+?)(?: \([^|]*\))? \| [^|]+ \|$", PAGE.split("| phase |")[1], re.MULTILINE)
    phases = {re.sub(r"(?<!^)(?=[A-Z])", " ", phase.__name__).lower() for phase in typing.get_args(states.Phase)}
    assert set(rows[: len(phases)]) == phases


def test_every_file_that_the_page_names_exists() -> None:
    for name in re.findall(r"`([\w/]+\.py)`", PAGE):
        assert list((REPOSITORY / "device").rglob(name)), name


def test_every_folder_of_the_readme_exists_and_every_page_it_links() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    folders = re.findall(r"^\| `(\w+)/` \|", readme, re.MULTILINE)
    assert set(OURS) <= set(folders)
    for name in [*folders, *re.findall(r"\]\(([\w./-]+)\)", readme)]:
        assert (REPOSITORY / name).exists(), name
