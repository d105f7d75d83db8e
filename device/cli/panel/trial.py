"""`kiosk panel test`: does the panel work, from its buttons to its lights?"""

import argparse
import statistics
from collections.abc import Sequence

from device.cli.panel import place
from firmware_bridge import Button, ButtonPressed, ButtonReleased, Scene
from firmware_bridge.port import PortError
from firmware_bridge.session import PanelSession, find_panel

ROUND_TRIPS = 50
MAX_REPEATED = ROUND_TRIPS // 10
"""So many scenes may have to be sent again: a line that loses more of them has a bad contact or a bad cable."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "test",
        help="test the panel's buttons, lights and line",
        description="Ask for a press of each button, show each scene, measure the line; exit status 0 if all is well.",
    )
    place.add_options(parser)
    parser.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="time to press each button (default %(default)g)"
    )
    parser.add_argument(
        "--pace", type=float, default=1.0, metavar="SECONDS", help="how long each scene is shown (default %(default)g)"
    )
    parser.add_argument("--no-buttons", action="store_true", help="leave the buttons out: nobody is at the panel")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    failures: list[str] = []
    try:
        with find_panel(place.port(arguments)) as panel:
            print(f"{panel.path}\n  {place.describe(panel.identity)}")
            panel.show(Scene.IDLE)
            if not arguments.no_buttons:
                failures += _try_buttons(panel, arguments.timeout)
            _show_scenes(panel, arguments.pace)
            failures += _measure(panel)
    except PortError as error:
        failures.append(str(error))
    if failures:
        print(f"\nFAILED: {'; '.join(failures)}")
        return 1
    print("\nPASSED: the panel works" + (", its buttons not tried" if arguments.no_buttons else ""))
    return 0


def _try_buttons(panel: PanelSession, timeout_s: float) -> list[str]:
    print(f"\nButtons: press each when it is asked for, within {timeout_s:g} s")
    failures = []
    for button in sorted(panel.identity.buttons):
        print(f"  {place.name(button):<14} ", end="", flush=True)
        failure = _try_button(panel, button, timeout_s)
        print(failure or "pressed and released", flush=True)
        if failure:
            failures.append(f"{place.name(button)}: {failure}")
    if not panel.identity.buttons:
        failures.append("the panel says that it has no button")
    return failures


def _try_button(panel: PanelSession, button: Button, timeout_s: float) -> str | None:
    """Wait for a press and its release; return what is wrong, if anything."""
    press, release = ButtonPressed(button), ButtonReleased(button)
    events = panel.wait(timeout_s, lambda event: event == press)
    if press not in events:
        others = {place.name(event.button) for event in events if isinstance(event, ButtonPressed)}
        return f"not pressed within {timeout_s:g} s" + (f", but {' and '.join(sorted(others))}" if others else "")
    # A quick press may have been over within what came at once.
    if release not in events and release not in panel.wait(timeout_s, lambda event: event == release):
        return f"not released within {timeout_s:g} s: is it stuck?"
    return None


def _show_scenes(panel: PanelSession, pace_s: float) -> None:
    print("\nScenes: look at the panel")
    for scene in Scene:
        panel.show(scene)
        print(f"  {scene.name.lower():<14} acknowledged", flush=True)
        panel.wait(pace_s)


def _measure(panel: PanelSession) -> Sequence[str]:
    print(f"\nLine: {ROUND_TRIPS} scenes, each to its acknowledgement")
    results = [panel.show(Scene.IDLE if number % 2 == 0 else Scene.CLOSED) for number in range(ROUND_TRIPS)]
    measured = sorted(1000 * result for result in results if result is not None)
    repeated = ROUND_TRIPS - len(measured)
    if measured:
        print(f"  median {statistics.median(measured):.1f} ms, slowest {measured[-1]:.1f} ms; {repeated} sent again")
    panel.show(Scene.OUT_OF_SERVICE)
    if repeated > MAX_REPEATED:
        return [f"{repeated} of {ROUND_TRIPS} scenes had to be sent again: look at the cable and its plugs"]
    return []
