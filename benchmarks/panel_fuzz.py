"""Random and mutated frames through the codec and both sides of the link: `python -m benchmarks.panel_fuzz N SEED`.

Nothing may raise, hold more memory than the protocol allows, or make an event out of the wrong state: presses and
releases alternate, and none comes outside a session. Exit status 1 with the seed and the input's number otherwise.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator

from firmware_bridge.events import ButtonPressed, ButtonReleased, PanelEvent, PanelOffline, PanelOnline
from firmware_bridge.frame import MAX_ENCODED, MAX_PAYLOAD, Frame, FrameDecoder, encode
from firmware_bridge.link import HostLink
from firmware_bridge.messages import (
    FROM_HOST,
    FROM_PANEL,
    Button,
    ButtonEdge,
    PanelHeartbeat,
    Scene,
    from_frame,
    to_frame,
)
from firmware_bridge.panel_link import PanelDescription, PanelLink
from firmware_bridge.timing import OUTBOX_EVENTS
from firmware_bridge.wire import Message, MessageError

FULL = 1_000_000
MAX_STEP_S = 0.4
KINDS = (*FROM_HOST, *FROM_PANEL)
KNOWN = {**FROM_HOST, **FROM_PANEL}
SESSION = 7


class FuzzError(Exception):
    """An input did what none may do."""


class Inputs:
    """Byte strings as a broken or hostile line may bring them: mostly almost right."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._before = [b"\x00"]

    def next(self) -> bytes:
        """Return the next input."""
        rng = self._rng
        choice = rng.random()
        if choice < 0.2:
            data = encode(to_frame(self._message(), rng.randrange(256)))
        elif choice < 0.35:
            data = encode(Frame(rng.choice(KINDS), rng.randrange(256), self._payload()))
        elif choice < 0.5:
            data = encode(Frame(rng.randrange(256), rng.randrange(256), rng.randbytes(rng.randrange(MAX_PAYLOAD + 1))))
        elif choice < 0.85:
            data = self._mutated(rng.choice(self._before))
        elif choice < 0.98:
            data = rng.randbytes(rng.randrange(1, 100))
        else:
            data = bytes(rng.randrange(1, 256) for _ in range(rng.randrange(1, 500)))
        if len(self._before) < 64:
            self._before.append(data)
        else:
            self._before[rng.randrange(64)] = data
        return data

    def _message(self) -> Message:
        """What a panel says in the session: so that the host's side is often online."""
        rng = self._rng
        held = frozenset(button for button in Button if rng.random() < 0.5)
        uptime_ms = rng.randrange(2**32) if rng.random() < 0.1 else rng.randrange(1000)
        match rng.randrange(4):
            case 0:
                return PanelDescription().identity(SESSION, held, 0)
            case 1:
                return PanelHeartbeat(SESSION, uptime_ms, held)
            case _:
                return ButtonEdge(rng.choice(list(Button)), rng.random() < 0.5, uptime_ms)

    def _payload(self) -> bytes:
        """Small numbers, for they mean something: sessions, buttons, flags."""
        rng = self._rng
        size = rng.choice((0, 1, 4, 5, 6, 10, 32, rng.randrange(MAX_PAYLOAD + 1)))
        head = bytes(rng.choice((0, 1, 2, 3, SESSION, 255)) for _ in range(min(size, 12)))
        session = SESSION.to_bytes(4, "little")
        if rng.random() < 0.5 and size >= 5:
            head = (session + head[4:]) if rng.random() < 0.5 else (b"\x01" + session + head[5:])
        return (head + rng.randbytes(size))[:size]

    def _mutated(self, data: bytes) -> bytes:
        rng = self._rng
        mutated = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(mutated) + 1)
            match rng.randrange(4):
                case 0 if at < len(mutated):
                    mutated[at] ^= 1 << rng.randrange(8)
                case 1 if len(mutated) > 1:
                    del mutated[at : at + rng.randrange(1, 4)]
                case 2:
                    mutated[at:at] = rng.randbytes(rng.randrange(1, 4))
                case _:
                    mutated[at:at] = mutated[:at][: rng.randrange(20)]
        return bytes(mutated[:600]) or b"\x00"


class EventOrder:
    """Checks that what the host's side reports makes sense."""

    def __init__(self) -> None:
        self.online = False
        self.held: set[Button] = set()
        self.found_down: set[Button] = set()
        self.seen = 0

    def check(self, events: list[PanelEvent]) -> None:
        """Raise FuzzError where an event does not follow from those before."""
        for event in events:
            self.seen += 1
            if not self._fits(event):
                raise FuzzError(f"{event} while {'online' if self.online else 'offline'} with {self.held} held")

    def _fits(self, event: PanelEvent) -> bool:
        match event:
            case PanelOnline(identity=identity):
                was, self.online, self.found_down = self.online, True, set(identity.held)
                return not was
            case PanelOffline(held=held):
                fits, self.online = held == self.held | self.found_down, False
                self.held, self.found_down = set(), set()
                return fits
            case ButtonPressed(button=button):
                fits = self.online and button not in self.held
                self.held.add(button)
                self.found_down.discard(button)
                return fits
            case ButtonReleased(button=button):
                fits = button in self.held | self.found_down
                self.held.discard(button)
                self.found_down.discard(button)
                return fits


class Bench:
    """The codec and both sides, fed with the same inputs in simulated time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._now_s = 10.0
        self._order = EventOrder()
        self._decoder = FrameDecoder()
        self._host = HostLink(lambda: SESSION)
        self._panel = PanelLink(PanelDescription(), self._now_s)
        self._host.open(self._now_s)
        self.frames = 0

    @property
    def events(self) -> int:
        """How many events the host's side has reported."""
        return self._order.seen

    def take(self, data: bytes) -> None:
        """Feed one input; raises FuzzError, or whatever the code under test raises."""
        rng = self._rng
        self._now_s += rng.random() ** 8 * MAX_STEP_S
        for frame in self._decoder.feed(data):
            self.frames += 1
            self._read(frame)
        self._order.check(self._host.feed(data, self._now_s))
        self._panel.feed(data, self._now_s)
        if rng.random() < 0.05:
            self._disturb()
        for output in (self._host.take_output(), self._panel.take_output()):
            self._check_output(output)
        if len(self._decoder._buffer) > MAX_ENCODED or len(self._panel._outbox) > OUTBOX_EVENTS:  # noqa: SLF001
            raise FuzzError("more is kept than the protocol allows")

    def _read(self, frame: Frame) -> None:
        if next(iter(FrameDecoder().feed(encode(frame))), None) != frame:
            raise FuzzError(f"{frame} does not come back")
        try:
            from_frame(frame, KNOWN)
        except MessageError:
            return

    def _disturb(self) -> None:
        rng = self._rng
        self._host.show(rng.choice(list(Scene)), self._now_s, rng.randrange(256))
        self._host.level(rng.randrange(-10, 300), self._now_s)
        button = rng.choice(list(Button))
        (self._panel.press if rng.random() < 0.5 else self._panel.release)(button, self._now_s)
        if rng.random() < 0.02:
            self._order.check(self._host.close("unplugged"))
            self._host.open(self._now_s)

    def _check_output(self, output: bytes) -> None:
        decoder = FrameDecoder()
        decoder.feed(output)
        if decoder.crc_errors + decoder.malformed + decoder.overlong:
            raise FuzzError(f"{output.hex(' ')} was sent and is no frame")


def fuzz(count: int, seed: int) -> Bench:
    """Feed `count` inputs; raises FuzzError, from whatever happened, that names the seed and the input."""
    rng = random.Random(seed)
    inputs, bench = Inputs(rng), Bench(rng)
    for number in range(count):
        data = inputs.next()
        try:
            bench.take(data)
        except Exception as error:
            raise FuzzError(f"seed {seed}, input {number}: {data.hex(' ')}: {error!r}") from error
    return bench


def parts(count: int, seed: int, size: int = 50_000) -> Iterator[tuple[int, int]]:
    """Cut the work into benches that each begin anew: how many inputs, and their seed."""
    for number in range(0, count, size):
        yield min(size, count - number), seed + number


def main(argv: list[str] | None = None) -> int:
    """Fuzz and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel_fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=FULL, metavar="N", help="inputs (default %(default)s)")
    parser.add_argument("seed", type=int, nargs="?", default=1, metavar="SEED", help="default %(default)s")
    arguments = parser.parse_args(argv)
    start_s = time.perf_counter()
    frames = events = 0
    try:
        for count, seed in parts(arguments.count, arguments.seed):
            bench = fuzz(count, seed)
            frames, events = frames + bench.frames, events + bench.events
    except FuzzError as error:
        print(f"FAILED: {error}")
        return 1
    took_s = time.perf_counter() - start_s
    print(f"{arguments.count} inputs, seed {arguments.seed}: {frames} valid frames, {events} events of the host's side")
    print(f"nothing failed; {took_s:.0f} s, {arguments.count / took_s:.0f} inputs a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
