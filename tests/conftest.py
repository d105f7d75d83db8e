"""What tests of several folders share: a whole store, with every process real."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.happenings import Happenings
from demo.microphone import SimulatedMicrophone, build
from demo.store import Store

MakeStore = Callable[..., Store]


@pytest.fixture(scope="session")
def microphone_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the compiled microphone plugin."""
    folder = tmp_path_factory.mktemp("microphone-build")
    build(folder)
    return folder


@pytest.fixture
def make_store(tmp_path: Path, microphone_build: Path) -> Iterator[MakeStore]:
    """Makes stores that are set up and not yet started; every process ends with the test."""
    with ExitStack() as stack:

        def make(**options: object) -> Store:
            folder = tmp_path / "store"
            microphone = stack.enter_context(
                SimulatedMicrophone(folder / "microphone", build_dir=microphone_build),
            )
            store = Store(folder, Happenings(), microphone=microphone, **options)  # type: ignore[arg-type]
            stack.enter_context(store)
            store.set_up()
            return store

        yield make
