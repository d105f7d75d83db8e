"""The page on health says what the code does."""

from contract.health import PART_NAMES
from contract.health_text import MARKS, lines
from device import health_verdicts as verdicts
from device.cli import status
from gateway.kiosks import health_keeper
from tests.contract.example_health import WELL, with_part
from tests.contract.markdown_page import bare, section
from tests.device import figures
from tests.device.test_health_verdicts import CASES

PAGE = "health.md"

SHOWN = with_part(
    with_part(
        WELL,
        "panel",
        state="failed",
        problem="/dev/serial/by-id/usb-Voiseback_Panel-if00 does not exist: plug the panel in, or correct the panel's "
        "port in the configuration",
        online=False,
        port=None,
        firmware=None,
        serial_number=None,
    ),
    "spool",
    state="degraded",
    problem=verdicts.spool(figures.spool(refused=1)).problem,
    refused=1,
)


def test_the_sample_is_what_the_command_prints() -> None:
    (sample,) = section(PAGE, "At the kiosk: `kiosk status`").code("")
    assert sample.splitlines() == list(lines(SHOWN, 80))


def test_every_state_has_its_mark() -> None:
    rows = section(PAGE).rows("state")
    assert {bare(row[0]): bare(row[1]) for row in rows} == {state: mark.strip() for state, mark in MARKS.items()}


def test_the_exit_statuses_are_those_of_the_command() -> None:
    rows = section(PAGE, "At the kiosk: `kiosk status`").rows("exit status")
    assert [int(row[0]) for row in rows] == [status.WELL, status.NOT_WELL, status.NOT_ALLOWED, status.NO_AGENT]


def test_there_is_a_row_for_every_part_and_state_that_it_can_have() -> None:
    rows = section(PAGE, "What is wrong, and what to do").rows("part")
    told = {(row[0], row[1]) for row in rows}
    assert told == {(part, state) for part, _, state, _ in CASES if state != "ok"}
    assert {part for part, _ in told} == set(PART_NAMES)


def test_the_limits_are_those_of_the_code() -> None:
    text = section(PAGE, "What is wrong, and what to do").text
    for said in (
        f"more than {verdicts.BACKLOG_S:.0f} s behind",
        f"more than {100 * verdicts.DAMAGED_SHARE:.0f} % of at least {verdicts.DAMAGED_FRAMES} frames",
        f"offline for more than {verdicts.OFFLINE_DEGRADED_S / 60:.0f} min",
        f"no receipt for {verdicts.UNANSWERED_S / 60:.0f} min",
        f"more than {verdicts.SLOW_COMMIT_MS / 1000:.0f} s to be written",
        f"less than {verdicts.megabytes(verdicts.DISK_FREE_BYTES)} of the disk",
        f"less than {verdicts.megabytes(verdicts.MEMORY_AVAILABLE_BYTES)} of memory",
        f"{verdicts.HOT_C:.0f} °C or more",
        f"above {verdicts.LOAD_PER_CORE:.0f} for each core",
    ):
        assert said in text, said
    assert verdicts.OFFLINE_FAILED_S == 24 * 3600
    assert health_keeper.OLD_S == 600
