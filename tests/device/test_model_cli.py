"""`kiosk model` as a technician types it."""

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from audio.model import DEMONSTRATION
from audio.models.archive import MAX_FILES, MAX_RATIO
from audio.models.catalogue import parse
from audio.models.change import Change
from audio.models.download import PATIENCE_S, RESERVE_BYTES
from audio.models.files import readable
from audio.models.shelf import Shelf, Slot
from demo.sentences import SENTENCES, SPEECH
from device.cli import main as cli
from device.cli.model.install import TIGHT_SHARE
from device.cli.model.progress import Progress
from device.settings import KioskSettings
from tests.audio.model_archives import FILES, NAME, catalogue, entry, model_zip
from tests.audio.model_server import Answer, ModelServer

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 30.0
OTHER = "vosk-model-small-en-us-0.4"
PATH = f"/{NAME}.zip"


class Kiosk:
    """A kiosk's settings, and the command."""

    def __init__(self, folder: Path, server: ModelServer, capfd: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.config = folder / "kiosk.toml"
        self.shelf = Shelf(folder / "state" / "models")
        self._capfd = capfd
        self.set()
        self.server.files[PATH] = model_zip()
        self.server.files["/list.json"] = catalogue(
            entry(NAME, model_zip(), server.url(PATH)),
            entry("vosk-model-small-en-us-0.1", b"old", server.url("/old.zip"), obsolete="true"),
            entry("vosk-model-de-0.21", b"big", server.url("/big.zip"), lang="de", type="big"),
        )

    def set(self, more: str = "") -> None:
        address = self.server.url("/list.json")
        state = self.shelf.folder.parent
        self.config.write_text(f'state_dir = "{state}"\nmodel_catalogue = "{address}"\n{more}')

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        self._capfd.readouterr()
        try:
            status = cli.main([*map(str, arguments), "--config", str(self.config)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = self._capfd.readouterr()
        assert "Traceback" not in err
        return status, out, err

    def process(self, *arguments: object) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "device.cli.main", *map(str, arguments), "--config", str(self.config)]
        return subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def install_folder(self, name: str) -> None:
        status, _, err = self("model", "install", f"{DEMONSTRATION}/", "--name", name, "--language", "en-us")
        assert status == 0, err

    def active(self) -> str | None:
        slot = self.shelf.slots().get("en")
        return slot.active if slot else None


@pytest.fixture
def kiosk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Kiosk]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ModelServer() as server:
        yield Kiosk(tmp_path, server, capfd)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true"
        time.sleep(0.005)


# ---------------------------------------------------------------- installing, listing, checking


@pytest.mark.servers
def test_a_model_is_installed_by_language_listed_and_used(kiosk: Kiosk) -> None:
    status, out, err = kiosk("model", "install", "en")
    assert status == 0, err
    assert out.splitlines()[0] == f"Installed {NAME}"
    assert "It is the active model for 'en'." in out
    assert "A running kiosk takes it at its next start." in out
    assert f"{NAME} is the newest small model for 'en-us'" in err
    status, out, err = kiosk("model", "list")
    assert (status, err) == (0, "")
    row = next(line.split() for line in out.splitlines() if NAME in line)
    size_bytes = sum((DEMONSTRATION / file).stat().st_size for file in FILES)
    assert row[:5] == ["active", NAME, "en-us", "0.15", f"{size_bytes / 1e6:.1f}"]
    assert "demonstration-en" in out
    assert "DOES NOT UNDERSTAND REAL PEOPLE" in out
    assert f"At its next start the kiosk takes for 'en': {NAME}" in out
    assert max(map(len, out.splitlines())) <= 80
    wav = SPEECH / "flowers.wav"
    status, out, err = kiosk("transcribe", wav)
    assert (status, out, err) == (0, SENTENCES[wav] + "\n", "")


@pytest.mark.servers
def test_a_sound_model_verifies_and_a_damaged_one_does_not(kiosk: Kiosk) -> None:
    kiosk.install_folder(NAME)
    assert kiosk("model", "verify") == (
        0,
        f"{NAME}: all {len(FILES)} files are as they were installed, and it works\n",
        "",
    )
    network = kiosk.shelf.folder / NAME / "am" / "final.mdl"
    content = bytearray(network.read_bytes())
    content[-1] ^= 1
    network.write_bytes(content)
    status, out, err = kiosk("model", "verify", NAME)
    assert (status, out) == (1, "")
    assert err.splitlines()[0] == f"kiosk: {network} is not as it was installed: its sha256 has changed"
    network.write_bytes(b"short")
    status, _, err = kiosk("model", "verify")
    assert status == 1
    assert len(err.splitlines()) == 2
    assert "has 5 bytes instead of" in err
    assert "cannot load it" in err


@pytest.mark.servers
def test_the_previous_model_is_gone_back_to_and_the_active_one_is_not_removed(kiosk: Kiosk) -> None:
    kiosk.install_folder(OTHER)
    kiosk.install_folder(NAME)
    assert kiosk.shelf.slots() == {"en": Slot(active=NAME, previous=OTHER)}
    status, out, _ = kiosk("model", "use", "--previous")
    assert status == 0
    assert out.startswith(f"{OTHER} is the active model for 'en'.\n")
    status, out, _ = kiosk("model", "use", NAME)
    assert f"The previous one, {OTHER}, is kept" in out
    status, _, err = kiosk("model", "remove", NAME)
    assert (status, err) == (1, f"kiosk: {NAME} is the active model for 'en'; use another first, or add --force\n")
    status, out, _ = kiosk("model", "remove", NAME, "--force")
    assert (status, out) == (
        0,
        f"Removed {NAME}.\n{OTHER} is the active model; a running kiosk takes it at its next start.\n",
    )
    assert kiosk("model", "remove", OTHER, "--force")[1].endswith("would use the built-in demonstration model.\n")
    assert kiosk.shelf.installed() == []


@pytest.mark.servers
def test_machines_read_one_object_a_line(kiosk: Kiosk) -> None:
    kiosk.install_folder(NAME)
    lines = [json.loads(line) for line in kiosk("model", "list", "--json")[1].splitlines()]
    assert [(line["name"], line["state"], line["is_demonstration"]) for line in lines] == [
        (NAME, "active", False),
        ("demonstration-en", None, True),
    ]
    assert lines[0]["memory_bytes"] > 5_000_000
    assert lines[0]["disk_bytes"] == sum(
        path.stat().st_size for path in DEMONSTRATION.rglob("*") if path.is_file() and path.name != "README.md"
    )


@pytest.mark.servers
def test_a_model_that_the_settings_keep_from_being_used_is_told(kiosk: Kiosk) -> None:
    kiosk.set('[audio]\nmodel = "/opt/model"\n')
    status, out, _ = kiosk("model", "install", "en")
    assert status == 0
    assert (
        f"But the settings come first, and name another model: remove '/opt/model' from [audio] in {kiosk.config}."
        in out
    )
    assert "At its next start the kiosk takes for 'en': /opt/model, as the settings say" in kiosk("model", "list")[1]
    kiosk.set('[audio]\nlanguage = "de"\n')
    kiosk.install_folder(OTHER)
    out = kiosk("model", "use", NAME)[1]
    assert f"The previous one, {OTHER}, is kept; to go back: kiosk model use --previous --language en\n" in out
    assert "The kiosk begins with 'de'; for visitors who speak 'en', set language = \"en\" under [audio]" in out


def test_an_empty_shelf_says_loudly_what_the_kiosk_would_use(kiosk: Kiosk) -> None:
    status, out, err = kiosk("model", "list")
    assert status == 0
    assert f"No model is installed in {kiosk.shelf.folder}." in out
    assert "NO SPEECH MODEL IS INSTALLED for 'en'" in err
    assert not kiosk.shelf.folder.exists()
    status, _, err = kiosk("model", "verify")
    assert status == 1
    assert "no model is installed" in err


def test_the_catalogue_is_listed_and_kept_for_when_there_is_no_network(kiosk: Kiosk) -> None:
    kiosk.shelf.folder.parent.mkdir()
    status, out, err = kiosk("model", "list", "--available")
    assert (status, err) == (0, "")
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["LANGUAGE", "MODEL", "KIND"],
        ["de", "vosk-model-de-0.21", "big"],
        ["en-us", NAME, "small"],
    ]
    kiosk.server.files.clear()
    status, out, err = kiosk("model", "list", "--available", "en", "--all")
    assert status == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["vosk-model-small-en-us-0.1", NAME]
    assert "answered 404: there is no such file; the one that was kept is less than a minute old" in err
    lines = kiosk("model", "list", "--available", "de", "--json")[1].splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["vosk-model-de-0.21"]


def test_another_catalogue_can_be_named(kiosk: Kiosk, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(catalogue(entry("vosk-model-small-fr-0.22", b"x", "https://example.com/x.zip", lang="fr"), {}))
    status, out, err = kiosk("model", "list", "--available", "--catalogue", path)
    assert status == 0
    assert "vosk-model-small-fr-0.22" in out
    assert err.startswith("kiosk: 1 of the catalogue's 2 entries cannot be used and were skipped; entry 2: ")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["install", "xx"], 1, "the catalogue has no model for 'xx'; see: kiosk model list --available"),
        (["install", "de"], 1, "no small model for 'de' that is not obsolete; install by name: vosk-model-de-0.21"),
        (["install", "./nowhere.zip"], 1, "there is no file and no folder nowhere.zip"),
        (["install", "https://example.com/x.zip"], 1, "needs its checksum"),
        (["install", "ftp://example.com/x.zip"], 1, "is no http or https URL"),
        (["install", "x", "--sha256", "abc"], 2, "'abc' is no sha256 checksum: that has 64 digits"),
        (["install", "x", "--patience", "0"], 2, "no number of minutes above 0"),
        (["install", "x", "--language", "english!"], 2, "is no language; give its code"),
        (["use", "none"], 1, "there is no model 'none' on the shelf"),
        (["use"], 2, "required"),
        (["use", "--previous"], 1, "no model was active for 'en' before"),
        (["remove", "../x"], 1, "there is no model '../x' on the shelf"),
        (["verify", "none"], 1, "no model 'none' is installed"),
        (["list", "--available", "?"], 2, "is no language"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(kiosk: Kiosk, arguments: list[str], status: int, said: str) -> None:
    found, out, err = kiosk("model", *arguments)
    assert (found, out) == (status, "")
    assert said in err


def test_two_at_a_time_are_refused(kiosk: Kiosk) -> None:
    with Change(kiosk.shelf):
        status, _, err = kiosk("model", "install", "en")
    assert status == 1
    assert "another `kiosk model` command is changing the models" in err


# ---------------------------------------------------------------- killed in the middle


@pytest.mark.servers
def test_a_download_that_was_killed_leaves_the_active_model_and_is_gone_on_with(kiosk: Kiosk) -> None:
    kiosk.install_folder(OTHER)
    kiosk.server.answers[PATH] = [Answer(stall_after=2_000_000)]
    part = kiosk.shelf.partial_folder / f"{NAME}.zip"
    process = kiosk.process("model", "install", NAME)
    wait_until(lambda: part.exists() and part.stat().st_size > 1_500_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = part.stat().st_size
    assert kiosk.active() == OTHER
    assert {path.name for path in kiosk.shelf.partial_folder.iterdir()} == {f"{NAME}.zip", f"{NAME}.origin"}
    assert "Unfinished: vosk-model-small-en-us-0.15" in kiosk("model", "list")[1]
    assert kiosk("model", "verify")[0] == 0
    assert kiosk("model", "install", NAME)[0] == 0
    assert kiosk.server.ranges(PATH) == [None, f"bytes={kept}-"]
    assert kiosk.shelf.slots() == {"en": Slot(active=NAME, previous=OTHER)}
    assert kiosk("model", "verify")[0] == 0
    assert not kiosk.shelf.partial_folder.exists()


@pytest.mark.servers
def test_an_installation_that_was_killed_while_unpacking_leaves_the_active_model(kiosk: Kiosk) -> None:
    kiosk.install_folder(OTHER)
    staged = kiosk.shelf.partial_folder / "unpacking" / NAME / "graph"
    process = kiosk.process("model", "install", NAME)
    wait_until(staged.exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert staged.exists()
    assert kiosk.active() == OTHER
    assert [one.name for one in kiosk.shelf.installed()] == [OTHER]
    assert kiosk("model", "install", NAME)[0] == 0
    assert len(kiosk.server.ranges(PATH)) == 1
    assert kiosk.active() == NAME
    assert not kiosk.shelf.partial_folder.exists()


@pytest.mark.servers
def test_ctrl_c_is_answered_with_a_sentence_and_the_usual_status(kiosk: Kiosk) -> None:
    kiosk.server.answers[PATH] = [Answer(stall_after=2_000_000)]
    part = kiosk.shelf.partial_folder / f"{NAME}.zip"
    process = kiosk.process("model", "install", NAME)
    wait_until(lambda: part.exists() and part.stat().st_size > 1_500_000)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert b"stopped; nothing has changed, and what was downloaded is kept" in out
    assert b"Traceback" not in out
    assert part.exists()


# ---------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *, width: int = 80) -> str:
    now_s = iter(range(1000))
    progress = Progress(stream, width=width, monotonic=lambda: float(next(now_s)))
    progress.step("Downloading https://example.com/" + "x" * 60)
    for done in range(0, 41_000_001, 1_000_000):
        progress.progress(done, 41_000_000)
    progress.step("Unpacking")
    progress.close()
    return stream.getvalue()


def test_a_terminal_shows_bytes_rate_and_time_left_in_one_line() -> None:
    lines = shown(Terminal()).splitlines()
    assert any(line.endswith("10.0 MB of 41.0 MB   24 %  1.0 MB/s  0:31 left") for line in lines)
    assert lines[-2].strip().startswith("41.0 MB of 41.0 MB  100 %  1.0 MB/s")
    assert lines[-1] == "Unpacking"


def test_a_narrow_terminal_is_not_overrun() -> None:
    drawn = [part for line in shown(Terminal(), width=40).split("\n") for part in line.split("\r")]
    assert all(len(part) < 40 for part in drawn if "MB" in part)


def test_without_a_terminal_there_is_a_plain_line_now_and_then() -> None:
    text = shown(io.StringIO())
    assert "\r" not in text
    assert [line.split()[0] for line in text.splitlines() if " of " in line] == ["10.0", "20.0", "30.0", "40.0"]


def test_a_download_that_begins_anew_shows_no_negative_rate() -> None:
    stream = Terminal()
    now_s = iter(range(100))
    progress = Progress(stream, width=80, monotonic=lambda: float(next(now_s)))
    for done in (5_000_000, 6_000_000, 0, 1_000_000):
        progress.progress(done, None)
    assert "-" not in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("1.0 MB  1.0 MB/s")


# ---------------------------------------------------------------- the page


PAGE = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")


def test_every_option_on_the_page_is_one_of_the_commands(kiosk: Kiosk) -> None:
    helps = "".join(kiosk("model", command, "--help")[1] for command in ("list", "install", "use", "verify", "remove"))
    helps += kiosk("transcribe", "--help")[1]
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE))
    assert len(options) > 10
    assert {option for option in options if option not in helps} == set()


def test_the_pages_catalogue_and_figures_are_the_programs() -> None:
    example = PAGE.split("```json\n")[1].split("```")[0]
    assert [one.name for one in parse(example.encode()).entries] == ["acme-en-1.2"]
    assert f"{readable(RESERVE_BYTES)} always stay free" in PAGE
    assert f"without a new byte ({PATIENCE_S / 60:g})" in PAGE
    assert KioskSettings().model_catalogue in PAGE
    assert (MAX_FILES, MAX_RATIO, TIGHT_SHARE) == (1000, 100, 0.6)
