"""Lists and claims among few and many rows, on SQLite and PostgreSQL: `python -m benchmarks.store`.

Each database is filled with analysed feedback, each with a webhook that is delivered, in 50 kiosks; a handful waits.
Then the questions of every day are asked again and again, and their medians must not grow with the rows. The plans are
looked at as well: none may go through a whole table. ``--rows 1000000`` adds a million, which takes minutes to fill.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django
import msgspec

from gateway import configuration, state
from gateway.configuration import DatabaseSettings, GatewaySettings

SIZES = (1_000, 100_000)
WAITING = 64
KIOSKS = 50
REPEATS = 30
BATCH = 2_000
NOW = datetime.now(UTC)

_SCANS = (
    "SCAN feedback_feedback",
    "SCAN webhooks_delivery",
    "Seq Scan on feedback_feedback",
    "Seq Scan on webhooks_delivery",
)
_BY_INDEX = ("USING INDEX", "USING COVERING INDEX", "USING INTEGER PRIMARY KEY")


class Asked(msgspec.Struct):
    """What one question took, by the number of rows, and what its plan does wrong."""

    ms: dict[int, float] = {}
    scans: list[str] = []


def fill(first: int, last: int) -> None:
    """Add feedback number ``first`` to ``last``, each with its delivery."""
    from gateway.feedback.models import Feedback
    from gateway.webhooks.models import Delivery, Endpoint

    endpoint = Endpoint.objects.get(name="hook")
    for begin in range(first, last, BATCH):
        rows = [feedback(number, "analysed") for number in range(begin, min(begin + BATCH, last))]
        Feedback.objects.bulk_create(rows)
        Delivery.objects.bulk_create(
            Delivery(
                webhook_id=str(uuid.uuid4()), event="feedback.new", endpoint=endpoint, feedback=row, body=b"x" * 600,
                state="delivered", attempts=1, created_at=row.received_at, finished_at=row.received_at,
            )
            for row in rows
        )  # fmt: skip


def feedback(number: int, kind: str) -> "Feedback":  # type: ignore[name-defined] # noqa: F821
    """Return one feedback, an older one for a smaller number."""
    from gateway.feedback.models import Feedback

    at = NOW - timedelta(days=365) + timedelta(seconds=number)
    return Feedback(
        id=uuid.uuid4(), kiosk_id=f"shop-{number % KIOSKS}", state=kind, created_at=at, created_at_source="kiosk",
        kiosk_created_at=at, clock="synchronised", received_at=at, transcript="the bread was fresh " * 5, language="en",
        speech_s=5, audio_s=6, model="benchmark", agent_version="0", sequence=number + 1, content_hash="0" * 64,
    )  # fmt: skip


def prepare() -> None:
    """Make kiosks, an endpoint, and what waits."""
    from gateway.feedback.models import Feedback
    from gateway.kiosks.models import Kiosk
    from gateway.webhooks.models import Delivery, Endpoint

    Kiosk.objects.bulk_create(
        Kiosk(id=f"shop-{n}", credential="$7$", credential_changed_at=NOW, created_at=NOW) for n in range(KIOSKS)
    )
    endpoint = Endpoint.objects.create(name="hook", url="https://example.org/", created_at=NOW)
    Feedback.objects.bulk_create(feedback(number, "received") for number in range(WAITING))
    Delivery.objects.bulk_create(
        Delivery(
            webhook_id=str(uuid.uuid4()), event="feedback.new", endpoint=endpoint, feedback=row, body=b"x" * 600,
            created_at=NOW, next_due_at=NOW - timedelta(seconds=1),
        )
        for row in Feedback.objects.all()
    )  # fmt: skip


def questions() -> dict[str, tuple[Callable[[], object], list[object]]]:
    """Return each question of every day with the query sets of which the plan is looked at."""
    from gateway.feedback.models import Feedback
    from gateway.webhooks.models import Delivery

    newest = Feedback.objects.order_by("-received_at")[:50]
    of_kiosk = Feedback.objects.filter(kiosk="shop-7").order_by("-created_at")[:50]
    waiting = Feedback.objects.filter(state="received").order_by("received_at")[:32]
    log = Delivery.objects.select_related("endpoint").defer("body").order_by("-pk")[:50]
    pending = Delivery.objects.filter(endpoint=1, state="pending", next_due_at__lte=NOW).order_by("next_due_at")[:4]
    return {
        "list the newest 50 feedback": (lambda: list(newest.all()), [newest]),
        "list the newest 50 of a kiosk": (lambda: list(of_kiosk.all()), [of_kiosk]),
        "list the newest 50 deliveries": (lambda: list(log.all()), []),  # along the primary key, and stopped after 50
        "claim feedback to analyse": (claim_feedback, [waiting]),
        "claim a due delivery": (claim_delivery, [pending]),
    }


def claim_feedback() -> None:
    """Claim as the analysis does, and let go."""
    from gateway.analysis.engine import Analysis
    from gateway.analysis.worker import Analyst

    class Nothing:
        name = "none"

        def analyse(self, _text: str) -> Analysis:
            return Analysis()

    analyst = Analyst(Nothing(), page_url=str, enqueued=lambda: None)
    assert analyst._open_feedback()  # noqa: SLF001 (the claim alone, without what follows)
    analyst._let_go()  # noqa: SLF001


def claim_delivery() -> None:
    """Claim as the outbox does, and let go."""
    from gateway.webhooks import outbox, secrets
    from gateway.webhooks.models import Delivery

    active = configuration.active()
    assert active is not None
    box = secrets.open_box(active.state_path)
    (claimed,) = outbox.claim(1, box, now=datetime.now(UTC), lease_s=60)
    Delivery.objects.filter(pk=claimed.delivery).update(lease_until=None)


def measure(sizes: list[int]) -> dict[str, Asked]:
    """Fill to each size in turn, and ask."""
    from django.db import connection

    prepare()
    asked: dict[str, Asked] = {}
    filled = 0
    for size in sizes:
        fill(filled, size)
        filled = size
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        for name, (ask, plans) in questions().items():
            found = asked.setdefault(name, Asked({}, []))
            times = []
            for _ in range(REPEATS):
                began_s = time.perf_counter()
                ask()
                times.append(time.perf_counter() - began_s)
            found.ms[size] = statistics.median(times) * 1_000
            # Among few rows a whole table is the right plan.
            found.scans = [scan for plan in plans for scan in scans_of(plan)] if size > SIZES[0] else []
    return asked


def scans_of(rows: object) -> list[str]:
    """Return the lines of a plan that go through a whole table."""
    plan: str = rows.explain()  # type: ignore[attr-defined]
    return [
        line.strip()
        for line in plan.splitlines()
        if any(scan in line for scan in _SCANS) and not any(index in line for index in _BY_INDEX)
    ]


def child(url: str | None, password_file: str | None, sizes: list[int]) -> None:
    """Measure on one database and print it as JSON."""
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder:
        database = DatabaseSettings(url=url, password_file=password_file)
        settings = GatewaySettings(state_dir=folder, database=database)
        state.prepare(Path(folder), database=url is None)
        configuration.activate(settings)
        os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.settings"
        django.setup()
        from gateway.database import bring_up_to_date

        bring_up_to_date()
        print(msgspec.json.encode(measure(sizes)).decode())


def main(argv: list[str] | None = None) -> int:
    """Measure on both and print; status 1 if a plan goes through a whole table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--rows", type=int, action="append", default=list(SIZES), help="one more size, such as 1000000")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    sizes = sorted(set(arguments.rows))
    if arguments.child is not None:
        url, password_file = arguments.child or (None, None)
        child(url, password_file, sizes)
        return 0
    from tests.gateway.postgresql import PostgresServer

    status = 0
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(durable=True))
        for name, options in (("SQLite", []), ("PostgreSQL", [server.url("store"), str(server.password_file)])):
            rows = [f"--rows={size}" for size in sizes]
            command = [sys.executable, "-m", "benchmarks.store", *rows, "--child", *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found = msgspec.json.decode(done.stdout, type=dict[str, Asked])
            print(f"{name:32}" + "".join(f"{size:>12,}" for size in sizes) + "   last to first")
            for question, asked in found.items():
                times = "".join(f"{asked.ms[size]:9.2f} ms" for size in sizes)
                print(f"{question:32}{times}{asked.ms[sizes[-1]] / asked.ms[sizes[0]]:12.2f}")
                for scan in asked.scans:
                    status = 1
                    print(f"    goes through a whole table: {scan}")
            print()
    return status


if __name__ == "__main__":
    sys.exit(main())
