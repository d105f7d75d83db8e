"""`make demo`: one press becomes a verified webhook, before your eyes."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from demo import interactive
from demo.happenings import Happenings, TimedOutError
from demo.microphone import BuildError, SimulatedMicrophone
from demo.process import ProcessError
from demo.sentences import SENTENCES
from demo.store import Store
from demo.timeline import Timeline, where_the_time_went

BUILD = Path(__file__).resolve().parent.parent / "build" / "microphone"
VISIT_S = 60.0

REAL_AND_SIMULATED = """
Real:      the kiosk agent, PortAudio's capture in real time, the Vosk recogniser, the spool, the panel's protocol over
           a serial line, MQTT over TLS through mosquitto, the gateway's store, analysis, outbox and signed webhooks,
           and the backend's verification: each the product's own program in a process of its own.
Simulated: the microphone (an ALSA device that plays a WAV file of a synthetic voice), the panel (its protocol on a
           pseudo-terminal instead of a microcontroller), and the network (loopback).
The recogniser's model knows a few thousand words of shop talk by synthetic voices. For real visitors install an
official Vosk model."""


def main(argv: list[str] | None = None) -> int:
    """Run the demonstration; return 0 only if the webhook verified and carries the words spoken."""
    arguments = _parse(argv)
    try:
        if arguments.interactive:
            return interactive.run(BUILD)
        return _one_visit(arguments.wav)
    except (BuildError, ProcessError, TimedOutError, OSError, ValueError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=...", description=__doc__)
    parser.add_argument("--interactive", action="store_true", help="keep everything up; the space bar is the button")
    parser.add_argument(
        "--wav", type=Path, default=next(iter(SENTENCES)), choices=list(SENTENCES), help="what the visitor says"
    )
    return parser.parse_args(argv)


def _one_visit(wav: Path) -> int:
    happenings = Happenings(Timeline(lambda line: print(line, flush=True)))
    with (
        tempfile.TemporaryDirectory(prefix="voiseback-demo-") as folder,
        SimulatedMicrophone(Path(folder) / "microphone", build_dir=BUILD) as microphone,
        Store(Path(folder), happenings, microphone=microphone) as store,
    ):
        print("Starting the gateway with its broker, the backend, the panel and the kiosk ...", flush=True)
        store.set_up()
        store.start()
        print(f'Ready. A visitor presses the button and says: "{SENTENCES[wav]}"\n', flush=True)
        mark = store.visit(wav)
        webhook = happenings.wait_for("receiver", "webhook", since=mark, timeout_s=VISIT_S)
        visit = webhook.fields["feedback"]
        happenings.wait_for("kiosk", "receipt", visit=visit, since=mark, timeout_s=VISIT_S)
        happenings.wait_for("gateway", "webhook delivered", feedback=visit, since=mark, timeout_s=VISIT_S)
        return _report(happenings, store, visit, mark, SENTENCES[wav])


def _report(happenings: Happenings, store: Store, visit: str, mark: int, words: str) -> int:
    webhook = happenings.find("receiver", "webhook", since=mark, feedback=visit)[0].fields
    body = json.loads(webhook["body"])
    print("\nThe webhook, as the backend received it:\n")
    for name, value in webhook["headers"].items():
        if name.lower().startswith(("webhook-", "content-type")):
            print(f"  {name}: {value}")
    print()
    print(json.dumps(body, indent=2, ensure_ascii=False))
    print("\nWhere the time went:\n")
    for span in where_the_time_went(happenings, visit, mark):
        print(f"  {span.seconds * 1000:9.1f} ms  {span.name}")
    left = store.spooled()
    checks = {
        "the signature verifies": webhook["verified"],
        f'the transcript is "{words}"': body["feedback"]["transcript"] == words,
        "the kiosk's spool is empty": not left,
    }
    print()
    for text, passed in checks.items():
        print(f"  {'yes' if passed else 'NO '}  {text}")
    print(REAL_AND_SIMULATED)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
