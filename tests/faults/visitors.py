"""The ear and the panel of a fast kiosk, and those who stand before them."""

import queue
import random
import time
from collections.abc import Callable
from typing import Any

from audio import protocol as ear_events
from firmware_bridge import Button, ButtonPressed, ButtonReleased, Scene
from tests.faults.reports import report, words_of

IMPATIENCE_S = 0.25
"""A visitor whose press is not taken presses again."""


class Visitors:
    """All of them at once; `run` is their thread."""

    def __init__(self, chance: random.Random, *, by_hand: bool) -> None:
        self._chance = chance
        self._by_hand = by_hand
        self._seen: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._scene = Scene.OUT_OF_SERVICE
        self._visit = ""
        self._wishes: list[str] = []
        self.post: Callable[[Any], None] = lambda _event: None

    # What the agent asks of the ear.

    def begin(self, visit: str) -> None:
        self._seen.put(("begin", visit))

    def finish(self, visit: str) -> None:
        self._seen.put(("finish", visit))

    def discard(self, visit: str) -> None:
        pass

    def restart(self) -> None:
        pass

    def use_language(self, language: str) -> None:
        pass

    # What it asks of the panel.

    def show(self, scene: Scene) -> None:
        report("scene", scene=scene.name.lower(), visit=self._visit)
        self._seen.put(("scene", scene))

    def answer(self) -> None:
        pass

    def level(self, value: int) -> None:
        pass

    # The visitors.

    def wish(self, wish: str) -> None:
        """Let one visitor come, who will do this."""
        self._seen.put(("wish", wish))

    def cancel(self) -> None:
        """Let the visitor press *cancel*."""
        self._seen.put(("cancel", None))

    def run(self) -> None:
        """Live until the process ends."""
        self.post(
            ear_events.Ready(
                device="mic", rate_hz=16_000, channels=1, model="m", model_is_demonstration=True, language="en"
            )
        )
        while True:
            try:
                self._take(*self._seen.get(timeout=IMPATIENCE_S))
            except queue.Empty:
                self._come()

    def _take(self, kind: str, what: Any) -> None:
        match kind:
            case "begin":
                self._visit = what
                self.post(ear_events.SpeechEnded(visit=what))
            case "finish":
                self._speak(what)
            case "wish":
                self._wishes.append(what)
                self._come()
            case "cancel":
                self._cancel()
            case "scene":
                self._scene = what
                if what is Scene.THANKS:
                    self._after_thanks()
                elif what in (Scene.SORRY, Scene.NOTHING_HEARD) and self._wishes:
                    self._wishes.pop(0)
                self._come()

    def _come(self) -> None:
        """Press, if it is anybody's turn."""
        if self._scene is not Scene.IDLE:
            return
        if not self._by_hand:
            time.sleep(self._chance.choice((0.0, 0.0, 0.01)) * self._chance.random())
        elif not self._wishes:
            return
        self._press(Button.RECORD)

    def _speak(self, visit: str) -> None:
        says_nothing = not self._by_hand and self._chance.random() < 0.03
        words = [ear_events.Word(word, 0.1 * n, 0.1 * n + 0.1, 0.9) for n, word in enumerate(words_of(visit).split())]
        self.post(
            ear_events.Transcript(
                visit=visit,
                text=None if says_nothing else words_of(visit),
                language="en",
                model="m",
                confidence=0.9,
                words=() if says_nothing else tuple(words),
                audio_s=2.0,
                speech_s=1.0,
                finalise_ms=5.0,
                too_quiet=False,
                too_loud=False,
            )
        )

    def _after_thanks(self) -> None:
        takes_back = self._chance.random() < 0.2
        if self._by_hand:
            takes_back = self._wishes.pop(0) == "take_back"
        if takes_back:
            self._cancel()
        elif not self._by_hand and self._chance.random() < 0.5:
            # The next visitor does not wait for the end of the thanks.
            self._press(Button.RECORD)

    def _cancel(self) -> None:
        report("cancelled", visit=self._visit)
        self._press(Button.CANCEL)

    def _press(self, button: Button) -> None:
        self.post(ButtonPressed(button))
        self.post(ButtonReleased(button))
