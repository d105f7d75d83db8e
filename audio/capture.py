"""A microphone as the technician's tools use it: opened in a process of its own, which cannot hang the tool."""

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final, Self

from audio.capture_protocol import (
    Answer,
    AnswerDecoder,
    Block,
    CaptureProtocolError,
    Inputs,
    Open,
    Opened,
    Refused,
    Request,
    Survey,
    encode,
)
from audio.microphone import MicrophoneBusyError, MicrophoneError
from audio.settings import AudioSettings

START_S: Final = 20.0
"""For the answer to a request. PortAudio may look at every device for some seconds."""
STALL_S: Final = 1.0
"""For the next sound; PortAudio does not tell of a microphone that was unplugged."""
REAP_S: Final = 2.0
_COMMAND: Final = (sys.executable, "-P", "-m", "audio.capture_child")
_READ_BYTES: Final = 65536


def survey(settings: AudioSettings, *, environment: Mapping[str, str] | None = None) -> Inputs:
    """All inputs of this machine, and which of them the kiosk would take. Raises `MicrophoneError`.

    `environment` is the whole environment of the process that looks; None: this process's own.
    """
    with _CaptureProcess(Survey(settings=settings), environment, time.monotonic) as process:
        answer = process.receive(START_S)
    if not isinstance(answer, Inputs):
        raise MicrophoneError("the sound system does not answer; start the machine again")
    return answer


class Capture:
    """A microphone that is open from the making of the object to `close`; a context manager.

    `rate_hz` and `all_channels`: see `audio.capture_protocol.Open`. Raises `MicrophoneError`, with the subclass
    `MicrophoneBusyError` where another program holds the microphone.
    """

    def __init__(
        self,
        settings: AudioSettings,
        *,
        rate_hz: int | None = None,
        all_channels: bool = False,
        environment: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        request = Open(settings=settings, rate_hz=rate_hz, all_channels=all_channels)
        self._process = _CaptureProcess(request, environment, monotonic)
        try:
            answer = self._process.receive(START_S)
        except BaseException:
            self._process.close()
            raise
        if not isinstance(answer, Opened):
            self._process.close()
            raise MicrophoneError("the microphone does not answer; unplug it and plug it in again")
        self.microphone: Opened = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the microphone."""
        self._process.close()

    def blocks(self) -> Iterator[Block]:
        """The sound, without end. Raises `MicrophoneError` when no more comes."""
        while isinstance(block := self._process.receive(STALL_S), Block):
            yield block
        raise MicrophoneError(
            f"the microphone {self.microphone.name!r} delivers no more sound: it was unplugged, or it hangs; "
            "plug it in again"
        )


class _CaptureProcess:
    """A capture process and its pipes. Raises `MicrophoneError` when it cannot be started."""

    def __init__(self, request: Request, environment: Mapping[str, str] | None, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._decoder = AnswerDecoder()
        self._answers: deque[Answer] = deque()
        try:
            # Its own process group: Ctrl-C in the terminal is for this process to handle. What PortAudio prints is
            # of no use to anybody, and may be without end.
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                process_group=0,
                bufsize=0,
            )
        except OSError as error:
            raise MicrophoneError(f"{_COMMAND[0]} cannot be started: {error.strerror}") from error
        pipes = (self._process.stdin, self._process.stdout)
        self._stdin, self._stdout = (pipe for pipe in pipes if pipe is not None)
        with contextlib.suppress(BrokenPipeError):  # its end is found out when its answer is read
            self._stdin.write(encode(request))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def receive(self, timeout_s: float) -> Answer | None:
        """The next answer, None if none came in time. Raises `MicrophoneError` for a refusal or an ended process."""
        deadline_s = self._monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not self._answers:
                if not selector.select(max(0.0, deadline_s - self._monotonic())):
                    return None
                self._read()
        answer = self._answers.popleft()
        if isinstance(answer, Refused):
            raise (MicrophoneBusyError if answer.is_busy else MicrophoneError)(answer.reason)
        return answer

    def _read(self) -> None:
        data = os.read(self._stdout.fileno(), _READ_BYTES)
        if not data:
            raise MicrophoneError(
                "the sound system failed while the microphone was used; unplug it and plug it in again"
            )
        try:
            self._answers += self._decoder.feed(data)
        except CaptureProtocolError as error:
            raise MicrophoneError(
                f"the capture process sent what is no sound ({error}); install the kiosk again"
            ) from error

    def close(self) -> None:
        """Kill the process, which may hang, and close the pipes."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(REAP_S)
        self._stdin.close()
        self._stdout.close()
