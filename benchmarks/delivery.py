"""Webhooks delivered a second, beside a bare `requests` loop: `python -m benchmarks.delivery`.

Both post the same kind of signed body to the same receiver on loopback, which answers at once. The bare loop signs and
posts from memory; the gateway claims each delivery from its database, checks the address, posts, and commits the
attempt, while it also ingests and analyses.
"""

import argparse
import http.server
import socketserver
import sys
import tempfile
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from benchmarks.traffic import Gateway, connect, feedback_messages, publish_all
from contract import signature
from contract.webhook import CONTENT_TYPE

SECRET = "a benchmark's secret, of no use elsewhere"
WAIT_S = 300.0


class Receiver:
    """Answers 200 to everything and notes when."""

    def __init__(self) -> None:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.note(body)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.bodies: list[bytes] = []
        self.at_s: list[float] = []
        self._changed = threading.Condition()
        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def note(self, body: bytes) -> None:
        """One request came."""
        with self._changed:
            self.bodies.append(body)
            self.at_s.append(time.perf_counter())
            self._changed.notify_all()

    def take(self, count: int) -> tuple[float, list[bytes]]:
        """Wait for ``count`` requests; return how many came a second, and their bodies; then forget them."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.at_s) >= count, WAIT_S):
                raise RuntimeError(f"only {len(self.at_s)} of {count} webhooks came")
            rate = (count - 1) / (self.at_s[count - 1] - self.at_s[0])
            bodies, self.bodies = self.bodies, []
            self.at_s = []
            return rate, bodies

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def bare_loop(url: str, bodies: list[bytes]) -> None:
    """Sign and post each body, as short as it can be written."""
    with requests.Session() as session:
        for number, body in enumerate(bodies):
            now_s = int(time.time())
            headers = {
                "Content-Type": CONTENT_TYPE,
                signature.ID_HEADER: str(number),
                signature.TIMESTAMP_HEADER: str(now_s),
                signature.SIGNATURE_HEADER: signature.sign(body, now_s, [SECRET]),
            }
            session.post(url, data=body, headers=headers, timeout=10).raise_for_status()


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--webhooks", type=int, default=1_000)
    count: int = parser.parse_args(argv).webhooks
    receiver = Receiver()
    with tempfile.TemporaryDirectory(prefix="voiseback-bench-") as folder, Gateway(Path(folder)) as gateway:
        secret = Path(folder) / "secret"
        secret.write_text(SECRET)
        gateway.command("endpoint", "add", "receiver", receiver.url, "--secret-file", secret)
        gateway.start()
        client = connect(gateway.credentials, lambda _client: None)
        publish_all(client, feedback_messages(20))
        _, (body, *_) = receiver.take(20)
        publish_all(client, feedback_messages(count))
        ours, _ = receiver.take(count)
        client.disconnect()
        client.loop_stop()
        bare_loop(receiver.url, [body] * count)
        bare, _ = receiver.take(count)
    receiver.close()
    print(f"{count} webhooks to loopback\n")
    print(f"gateway, end to end   {ours:9.0f} a second")
    print(f"bare requests loop    {bare:9.0f} a second")
    print(f"ratio                 {ours / bare:9.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
