"""`kiosk spool`, as somebody types it who wants to know what is left on a kiosk."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from device.cli.main import main
from device.clock import SystemClock
from device.spool import Outcome, Spool, takeover
from tests.device.records import a_record

WORDS = "words of"
"""How the words of every record in these tests begin."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text(f'state_dir = "{tmp_path}/state"\n')
    return path


@pytest.fixture
def spool(tmp_path: Path, config: Path) -> Iterator[Spool]:
    """The spool of an agent that runs."""
    spool = Spool(tmp_path / "state" / "spool.sqlite3")
    spool.begin()
    for name in ("aa-first", "ab-second", "b-third"):
        spool.add(a_record(name))
        spool.release(name)
    spool.settle([Outcome("ab-second", stored=False, reason="the gateway does not know this kiosk")])
    spool.add(a_record("c-held"))
    yield spool
    spool.close()


class Typed:
    """Runs commands and keeps what they printed."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._config = config
        self._capsys = capsys

    def __call__(self, *arguments: object, status: int = 0) -> str:
        """Type a command that ends like this; return what it printed."""
        self._capsys.readouterr()
        try:
            ended = main(["spool", *map(str, arguments), "--config", str(self._config)])
        except SystemExit as end:
            ended = int(end.code or 0)
        printed = self._capsys.readouterr()
        self.complaint = printed.err
        assert ended == status, printed
        assert "Traceback" not in printed.err
        return printed.out

    def sentence(self, *arguments: object, status: int = 1) -> str:
        """Type a command that fails with one sentence; return it."""
        assert self(*arguments, status=status) == ""
        (line,) = self.complaint.splitlines()
        return line

    def lines(self, *arguments: object) -> list[dict[str, object]]:
        """Type a command that prints JSON lines; return them."""
        return [json.loads(line) for line in self(*arguments).splitlines()]


@pytest.fixture
def typed(config: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(config, capsys)


# ---------------------------------------------------------------- list


def test_the_list_has_the_oldest_first_the_reasons_and_the_counts(spool: Spool, typed: Typed) -> None:
    printed = typed("list")
    lines = printed.splitlines()
    assert [line.split()[1] for line in lines if "aa-" in line or "b-" in line or "ab-" in line] == [
        "aa-first",
        "ab-second",
        "b-third",
    ]
    assert "the gateway does not know this kiosk" in printed
    assert lines[-1] == "4 records: 1 held, 2 waiting, 1 refused"
    assert WORDS not in printed


def test_the_list_can_be_of_one_state(spool: Spool, typed: Typed) -> None:
    assert [line["id"] for line in typed.lines("list", "--state", "refused", "--json")] == ["ab-second"]
    assert "aa-first" not in typed("list", "--state", "refused")
    typed("list", "--state", "lost", status=2)


def test_machines_get_one_object_a_line(spool: Spool, typed: Typed) -> None:
    assert typed.lines("list", "--json")[1] == {
        "sequence": 2,
        "id": "ab-second",
        "state": "refused",
        "pressed_at": "2023-11-14T22:13:20+00:00",
        "clock": "synchronised",
        "age_s": typed.lines("list", "--json")[1]["age_s"],
        "reason": "the gateway does not know this kiosk",
    }


def test_all_of_a_long_list_is_shown(spool: Spool, typed: Typed) -> None:
    for number in range(250):
        spool.add(a_record(f"many-{number:03}"))
    assert len(typed.lines("list", "--json")) == 254


def test_an_empty_spool_is_said(tmp_path: Path, typed: Typed) -> None:
    Spool(tmp_path / "state" / "spool.sqlite3").close()
    assert typed("list") == "0 records\n"


def test_a_visit_of_a_boot_whose_clock_was_set_later_has_its_right_time(spool: Spool, typed: Typed) -> None:
    record = a_record("early")
    pressed = msgspec.structs.replace(record.pressed, boot_id="early", wall_s=0.0, synchronised=False)
    spool.add(msgspec.structs.replace(record, pressed=pressed))
    assert typed.lines("show", "early", "--json")[0]["clock"] == "unsynchronised"
    assert typed.lines("show", "early", "--json")[0]["age_s"] is None
    assert "the clock was not set" in typed("list")
    spool.note_boot("early", 1_700_000_000.0)
    fields = typed.lines("show", "early", "--json")[0]
    assert (fields["clock"], fields["pressed_at"]) == ("synchronised", "2023-11-14T22:13:25+00:00")


def test_the_age_of_a_visit_of_this_boot_needs_no_clock(spool: Spool, typed: Typed) -> None:
    now = SystemClock().now()
    pressed = msgspec.structs.replace(now, since_boot_s=now.since_boot_s - 90, wall_s=0.0, synchronised=False)
    spool.add(msgspec.structs.replace(a_record("now"), pressed=pressed))
    age_s = typed.lines("show", "now", "--json")[0]["age_s"]
    assert isinstance(age_s, float)
    assert 90 <= age_s < 110
    assert any("now" in line and " s  " in line for line in typed("list").splitlines())


# ---------------------------------------------------------------- show


def test_a_record_is_shown_without_its_words_unless_they_are_asked_for(spool: Spool, typed: Typed) -> None:
    printed = typed("show", "ab-second")
    assert "the gateway does not know this kiosk" in printed
    assert WORDS not in printed
    assert "words of ab-second" in typed("show", "ab-second", "--words")
    assert "transcript" not in typed.lines("show", "ab-second", "--json")[0]
    assert typed.lines("show", "ab-second", "--json", "--words")[0]["transcript"] == "words of ab-second"


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(spool: Spool, typed: Typed) -> None:
    assert "aa-first" in typed("show", "aa")
    assert "several records begin with 'a'" in typed.sentence("show", "a")
    assert "no record 'x'" in typed.sentence("show", "x")
    assert "no record ''" in typed.sentence("show", "")
    assert "no record '%'" in typed.sentence("show", "%")
    spool.add(a_record("b"))
    assert typed.lines("show", "b", "--json")[0]["id"] == "b"


# ---------------------------------------------------------------- retry


def test_a_refused_record_waits_again_at_the_end_and_the_running_agent_sees_it(spool: Spool, typed: Typed) -> None:
    spool.freeze_all([("aa-first", b"x")])
    assert typed("retry", "ab") == "1 record waits for the gateway again\n"
    assert [(one.id, one.sequence, one.reason) for one in spool.waiting(limit=9)] == [
        ("aa-first", 1, None),
        ("b-third", 3, None),
        ("ab-second", 4, None),
    ]


def test_a_retried_record_is_encoded_anew(spool: Spool, typed: Typed) -> None:
    spool.freeze_all([("aa-first", b"x")])
    spool.settle([Outcome("aa-first", stored=False, reason="it names another kiosk")])
    typed("retry", "aa")
    assert [one.message for one in spool.waiting(limit=9) if one.id == "aa-first"] == [None]


def test_all_refused_records_wait_again_in_the_order_of_their_visits(spool: Spool, typed: Typed) -> None:
    spool.settle([Outcome("b-third", stored=False), Outcome("aa-first", stored=False)])
    assert typed("retry", "--all") == "3 records wait for the gateway again\n"
    assert [one.id for one in spool.waiting(limit=9)] == ["aa-first", "ab-second", "b-third"]
    assert typed("retry", "--all") == "0 records wait for the gateway again\n"


def test_only_a_refused_record_can_be_retried(spool: Spool, typed: Typed) -> None:
    assert "record aa-first is waiting, not refused" in typed.sentence("retry", "aa-first")
    assert "record c-held is held, not refused" in typed.sentence("retry", "c-held")


def test_a_record_that_cannot_be_read_says_so_and_the_others_are_retried(spool: Spool, typed: Typed) -> None:
    spool._db.execute("UPDATE records SET record = X'7b22' WHERE id = 'b-third'")
    assert len(spool.waiting(limit=9)) == 1
    assert "record b-third cannot be read, so it cannot be sent" in typed.sentence("retry", "b-third")
    assert "it cannot be read" in typed("list")
    assert typed("show", "b-third")
    assert typed("retry", "--all", "--json", status=1).count("\n") == 2
    assert [one.id for one in spool.waiting(limit=9)] == ["aa-first", "ab-second"]
    (exported,) = typed.lines("export", "-", "--state", "refused")
    assert (exported["record"], exported["bytes"]) == (None, "eyI=")


def test_retry_wants_one_record_or_all(spool: Spool, typed: Typed) -> None:
    typed("retry", status=2)
    typed("retry", "aa", "--all", status=2)


def test_retry_waits_for_a_commit_of_the_agent(spool: Spool, typed: Typed) -> None:
    spool._db.execute("BEGIN IMMEDIATE")
    ends = threading.Timer(0.3, lambda: spool._db.execute("COMMIT"))
    ends.start()
    assert typed("retry", "ab") == "1 record waits for the gateway again\n"
    ends.join()


def test_a_record_is_retried_while_no_agent_runs(tmp_path: Path, spool: Spool, typed: Typed) -> None:
    spool.close()
    typed("retry", "ab")
    later = Spool(spool.path)
    later.begin()
    assert "ab-second" in [one.id for one in later.waiting(limit=9)]
    assert [one.sequence for one in later.waiting(limit=9)] == [1, 3, 4, 5]
    later.close()


# ---------------------------------------------------------------- export


def test_an_export_has_the_words_and_is_its_owners_alone(tmp_path: Path, spool: Spool, typed: Typed) -> None:
    file = tmp_path / "export.jsonl"
    assert typed("export", file) == f"{file}: 4 records\n"
    assert "holds the words of visitors" in typed.complaint
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["record"]["transcript"] for line in lines][:2] == ["words of aa-first", "words of ab-second"]
    assert lines[1]["reason"] == "the gateway does not know this kiosk"
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_export_replaces_nothing_unless_it_is_told_to(tmp_path: Path, spool: Spool, typed: Typed) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("mine")
    file.chmod(0o644)
    assert "--force" in typed.sentence("export", file)
    assert file.read_text() == "mine"
    typed("export", file, "--force", "--state", "waiting")
    assert len(file.read_text().splitlines()) == 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_export_that_cannot_be_written_is_one_sentence(tmp_path: Path, spool: Spool, typed: Typed) -> None:
    assert "there is no folder" in typed.sentence("export", tmp_path / "no" / "export.jsonl")
    assert "it is no file" in typed.sentence("export", tmp_path, "--force")
    assert "it is no file" in typed.sentence("export", "/dev/full", "--force")


def test_an_export_to_the_standard_output_is_nothing_but_json(spool: Spool, typed: Typed) -> None:
    assert [line["id"] for line in typed.lines("export", "-")] == ["aa-first", "ab-second", "b-third", "c-held"]
    assert typed.complaint == ""


def test_a_reader_that_goes_away_is_no_failure_to_talk_about(spool: Spool, config: Path) -> None:
    for number in range(500):
        spool._db.execute(
            "INSERT INTO records (id, state, record) VALUES (?, 'held', ?)",
            (f"many-{number:04}", msgspec.json.encode(a_record(f"many-{number:04}"))),
        )
    command = [sys.executable, "-m", "device.cli.main", "spool", "export", "-", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        assert process.stderr.read() == ""


# ---------------------------------------------------------------- a spool that is not whole

COMMANDS = [("list",), ("show", "a"), ("retry", "--all"), ("export", "-")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_makes_a_spool(tmp_path: Path, typed: Typed, command: tuple[str, ...]) -> None:
    assert "there is no spool" in typed.sentence(*command)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_touches_a_damaged_spool(
    tmp_path: Path, spool: Spool, typed: Typed, command: tuple[str, ...]
) -> None:
    spool.close()
    content = b"\0" * 4096 + spool.path.read_bytes()[4096:]
    spool.path.write_bytes(content)
    sentence = typed.sentence(*command)
    assert "damaged" in sentence
    assert "the agent saves what can be read when it next starts" in sentence
    assert spool.path.read_bytes() == content
    assert not takeover.damaged_folder(spool.path).exists()


def test_a_spool_of_the_first_version_can_be_looked_at_and_stays_one(
    tmp_path: Path, spool: Spool, typed: Typed
) -> None:
    spool._db.executescript("DROP TABLE boots; DROP INDEX records_by_state; PRAGMA user_version = 0")
    spool.close()
    assert len(typed.lines("list", "--json")) == 4
    typed("retry", "ab")
    assert spool.path.read_bytes()[60:64] == bytes(4)


def test_a_newer_spool_is_left_to_its_program(spool: Spool, typed: Typed) -> None:
    spool._db.execute("PRAGMA user_version = 9")
    assert "made by a newer program" in typed.sentence("list")


def test_looking_leaves_the_log_of_a_stopped_agent_for_the_agent(tmp_path: Path, spool: Spool, typed: Typed) -> None:
    """An agent that was killed leaves its log; a command that reads must not tidy it away."""
    log_path = spool.path.with_name("spool.sqlite3-wal")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (spool.path, log_path):
        (copy / path.name).write_bytes(path.read_bytes())
    spool.close()
    for path in (spool.path, log_path):
        path.write_bytes((copy / path.name).read_bytes())
    before = (spool.path.read_bytes(), log_path.read_bytes())
    assert len(typed.lines("list", "--json")) == 4
    assert (spool.path.read_bytes(), log_path.read_bytes()) == before
