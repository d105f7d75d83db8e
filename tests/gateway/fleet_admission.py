"""``python -m tests.gateway.fleet_admission CONFIG COUNT`` admits ``kiosk-0`` and those after it; prints passwords."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path


def admit(config: Path, count: int) -> dict[str, str]:
    from gateway.cli import session

    session.open_gateway(argparse.Namespace(config=config))
    from gateway.broker import access
    from gateway.configuration import active
    from gateway.database import bring_up_to_date
    from gateway.kiosks import registry

    settings = active()
    assert settings is not None
    bring_up_to_date()
    now = datetime.now(UTC)
    access.for_kiosks(settings, now=now)
    return {f"kiosk-{n}": registry.add(f"kiosk-{n}", name="", page_url="", now=now) for n in range(count)}


if __name__ == "__main__":
    print(json.dumps(admit(Path(sys.argv[1]), int(sys.argv[2]))))
