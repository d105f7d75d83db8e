"""What Prometheus reads: a few lines of its text format, and what they are made from."""

import os
import resource
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from django.db.models import Count, Min, Q

from gateway.feedback.models import Feedback, Quarantine, Reply
from gateway.kiosks.models import Kiosk
from gateway.monitoring.health import Health, own_connection
from gateway.webhooks.models import Delivery, Endpoint

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "voiseback_"

_PAGE_BYTES = resource.getpagesize()
_STARTED_AT_S = time.time()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples, by the labels of each."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Mapping[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def one(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Metric:
    """Return a metric with one sample without labels."""
    return Metric(name, kind, text, {(): value})


def by(name: str, kind: Literal["counter", "gauge"], text: str, label: str, values: Mapping[str, float]) -> Metric:
    """Return a metric with one sample for each value of ``label``."""
    return Metric(name, kind, text, {((label, key),): value for key, value in values.items()})


def render(metrics: Iterable[Metric]) -> str:
    """Return the metrics in Prometheus' text format."""
    lines: list[str] = []
    for metric in metrics:
        name = f"{PREFIX}{metric.name}"
        lines += [f"# HELP {name} {_escape(metric.help)}", f"# TYPE {name} {metric.kind}"]
        for labels, value in metric.samples.items():
            text = ",".join(f'{key}="{_escape(content)}"' for key, content in labels)
            lines.append(f"{name}{{{text}}} {value:.17g}" if text else f"{name} {value:.17g}")
    return "\n".join(lines) + "\n"


def of_parts(health: Health) -> Metric:
    """Return which parts of this process work."""
    up = {name: float(problem is None) for name, problem in health.parts.items()}
    return by("part_up", "gauge", "Whether a part of this process works.", "part", up)


def of_process(state_path: Path) -> list[Metric]:
    """Return what this process takes, and what room is left for it."""
    resident = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    return [
        one("process_resident_bytes", "gauge", "Memory of this process.", resident),
        one("process_cpu_seconds_total", "counter", "Processor time of this process.", sum(os.times()[:2])),
        one("process_start_time_seconds", "gauge", "When this process started.", _STARTED_AT_S),
        one("disk_free_bytes", "gauge", "Room on the disk of state_dir.", shutil.disk_usage(state_path).free),
    ]


def of_database(now: datetime) -> list[Metric]:
    """Return what waits in the database, the same from every process that works on it.

    Raises:
        django.db.Error: the database cannot be read.
    """
    with own_connection():
        return [*_of_feedback(now), *_of_deliveries(now), *_of_kiosks()]


def _of_feedback(now: datetime) -> list[Metric]:
    waiting = Feedback.objects.filter(state=Feedback.State.RECEIVED).aggregate(n=Count("pk"), oldest=Min("received_at"))
    replies = Reply.objects.filter(state=Reply.State.RECEIVED).count()
    return [
        one("feedback_waiting", "gauge", "Feedback that is not analysed yet.", waiting["n"]),
        one("feedback_waiting_seconds", "gauge", "How long the oldest waits.", _age_s(waiting["oldest"], now)),
        one("replies_waiting", "gauge", "Replies whose feedback is not there or not analysed yet.", replies),
        one("quarantine_entries", "gauge", "Messages that were refused.", Quarantine.objects.count()),
    ]


def _of_deliveries(now: datetime) -> list[Metric]:
    pending = Delivery.objects.filter(state=Delivery.State.PENDING)
    found = pending.aggregate(
        n=Count("pk"),
        due=Count("pk", filter=Q(next_due_at__lte=now)),
        oldest=Min("next_due_at", filter=Q(next_due_at__lte=now, endpoint__enabled=True)),
    )
    endpoints = Endpoint.objects.filter(removed_at__isnull=True).aggregate(
        on=Count("pk", filter=Q(enabled=True)), off=Count("pk", filter=Q(enabled=False))
    )
    states = {"enabled": endpoints["on"], "disabled": endpoints["off"]}
    return [
        one("deliveries_pending", "gauge", "Webhooks that are still to be delivered.", found["n"]),
        one("deliveries_due", "gauge", "Webhooks whose time has come.", found["due"]),
        one("deliveries_due_seconds", "gauge", "How long the oldest due one waits.", _age_s(found["oldest"], now)),
        by("endpoints", "gauge", "Receivers of webhooks.", "state", states),
    ]


def _of_kiosks() -> list[Metric]:
    found = Kiosk.objects.filter(removed_at__isnull=True).aggregate(
        on=Count("pk", filter=Q(online=True)), off=Count("pk", filter=Q(online=False))
    )
    states = {"online": found["on"], "offline": found["off"]}
    return [by("kiosks", "gauge", "Kiosks that are admitted.", "state", states)]


def _age_s(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
