import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.models.answer import Again, Complete, Never, Take, judge
from audio.models.checksum import Checksum
from audio.models.download import RESTARTS, Download, DownloadError, Timing, Wanted
from audio.models.web import RedirectError, Web
from tests.audio.model_archives import Recorder
from tests.audio.model_server import Answer, ModelServer

BODY = random.Random(1).randbytes(300_000)
PATH = "/model.zip"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, length_s: float) -> None:
        self.slept.append(length_s)
        self.now_s += length_s


class Bench:
    def __init__(self, server: ModelServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.clock = Clock()
        self.report = Recorder()
        server.files[PATH] = BODY

    def wanted(self, url: str | None = None, size_bytes: int | None = len(BODY), body: bytes = BODY) -> Wanted:
        checksum = Checksum("md5", hashlib.md5(body).hexdigest())
        return Wanted("model", url or self.server.url(PATH), checksum, size_bytes)

    def download(self, wanted: Wanted | None = None, free_bytes: int = 10**12, silence_s: float = 5.0) -> bytes:
        timing = Timing(patience_s=600, monotonic=self.clock.monotonic, sleep=self.clock.sleep, draw=lambda: 0.5)
        download = Download(
            wanted or self.wanted(),
            self.folder,
            Web(silence_s=silence_s),
            self.report,
            timing=timing,
            free_bytes=lambda _: free_bytes,
        )
        path, hasher = download.run()
        content = path.read_bytes()
        assert hasher.sha256 == hashlib.sha256(content).hexdigest()
        return content

    def kept(self) -> int:
        path = self.folder / "model.zip"
        return path.stat().st_size if path.exists() else 0


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ModelServer() as server:
        yield Bench(server, tmp_path)


def test_a_file_comes_whole_and_its_progress_is_told(bench: Bench) -> None:
    assert bench.download() == BODY
    assert bench.report.done[-1] == (len(BODY), len(BODY))
    assert bench.clock.slept == []


def test_a_broken_connection_goes_on_where_it_was(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=100_000), Answer(cut_after=100_000)]
    assert bench.download() == BODY
    first, second, third = bench.server.ranges(PATH)
    assert first is None
    assert second is not None
    assert third is not None
    assert 0 < int(second[6:-1]) <= 100_000 < int(third[6:-1]) <= 200_000
    assert all("If-Range" in seen.headers for seen in bench.server.seen[1:])
    assert all(step.startswith("Going on in ") for step in bench.report.steps)


def test_a_second_command_goes_on_where_the_first_was(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=150_000), Answer(status=404)]
    with pytest.raises(DownloadError, match="404"):
        bench.download()
    kept = bench.kept()
    assert 0 < kept <= 150_000
    assert bench.download() == BODY
    assert bench.server.ranges(PATH)[-1] == f"bytes={kept}-"


def test_a_server_that_ignores_ranges_is_asked_for_all_again(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=200_000), Answer(ignore_range=True)]
    assert bench.download() == BODY


def test_a_file_that_changed_meanwhile_is_downloaded_anew(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=200_000, body=b"old" * 100_000)]
    assert bench.download() == BODY
    assert len(bench.server.seen) == 2


def test_parts_of_two_versions_without_a_mark_are_noticed_by_the_checksum(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=200_000, body=b"old" * 100_000, validators=False)]
    assert bench.download() == BODY
    assert any("wrong checksum" in step for step in bench.report.steps)


def test_bytes_that_the_disk_lost_are_noticed_by_the_checksum(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=200_000), Answer(status=404)]
    with pytest.raises(DownloadError):
        bench.download()
    path = bench.folder / "model.zip"
    path.write_bytes(bytes(path.stat().st_size))
    assert bench.download() == BODY


def test_a_length_that_is_too_long_is_forgiven(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(length=len(BODY) + 1000)]
    assert bench.download(bench.wanted(size_bytes=None)) == BODY
    assert len(bench.server.seen) == 1
    assert bench.clock.slept == []


def test_a_length_that_is_too_short_is_made_up_for(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(length=120_000)]
    assert bench.download() == BODY
    assert bench.server.ranges(PATH) == [None, "bytes=120000-"]


def test_a_body_without_a_length_that_ends_early_is_made_up_for(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(has_length=False, cut_after=90_000)]
    assert bench.download() == BODY


def test_a_download_that_is_complete_already_asks_nobody(bench: Bench) -> None:
    bench.download()
    assert bench.download() == BODY
    assert len(bench.server.seen) == 1


def test_a_server_that_says_there_is_no_more_is_believed_only_with_the_right_checksum(bench: Bench) -> None:
    wanted = bench.wanted(size_bytes=None)
    bench.server.answers[PATH] = [Answer(body=BODY[:-1] + b"x", cut_after=len(BODY), length=len(BODY) + 9)]
    bench.server.answers[PATH] += [Answer(status=416, body=b"", headers={"Content-Range": f"bytes */{len(BODY)}"})]
    assert bench.download(wanted) == BODY
    assert len(bench.server.seen) == 3


def test_wrong_bytes_are_refused_and_not_kept(bench: Bench) -> None:
    wrong = [Answer(body=b"x" * len(BODY))] * 2
    bench.server.answers[PATH] = list(wrong)
    with pytest.raises(
        DownloadError, match=r"not what was promised, 2 times: its md5 [0-9a-f]{32} is not the promised"
    ):
        bench.download()
    assert list(bench.folder.iterdir()) == []


def test_wrong_bytes_once_are_downloaded_again(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(body=b"x" * len(BODY))]
    assert bench.download() == BODY


def test_more_bytes_than_promised_are_refused(bench: Bench) -> None:
    bench.server.files[PATH] = BODY * 2
    with pytest.raises(DownloadError, match="sends more than 300000 bytes"):
        bench.download()
    assert bench.kept() == 0


def test_another_address_or_checksum_begins_anew(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=100_000), Answer(status=404)]
    with pytest.raises(DownloadError):
        bench.download()
    bench.server.files["/other.zip"] = BODY
    assert bench.download(bench.wanted(bench.server.url("/other.zip"))) == BODY
    assert bench.server.ranges("/other.zip") == [None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_final_refusal_ends_it_at_once(bench: Bench, status: int) -> None:
    bench.server.answers[PATH] = [Answer(status=status, body=b"no")]
    with pytest.raises(DownloadError, match=f"the server answered {status}"):
        bench.download()
    assert len(bench.server.seen) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_passing_refusal_is_waited_out_as_long_as_the_server_says(bench: Bench, status: int) -> None:
    bench.server.answers[PATH] = [Answer(status=status, body=b"", headers={"Retry-After": "17"})]
    assert bench.download() == BODY
    assert 17 <= bench.clock.slept[0] <= 17 * 1.1


def test_waits_grow_and_are_jittered(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(status=500, body=b"")] * 9
    assert bench.download() == BODY
    assert bench.clock.slept == [0.75 * delay for delay in (1, 2, 4, 8, 16, 32, 60, 60, 60)]


def test_it_gives_up_when_nothing_comes_and_keeps_what_came(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=100_000)] + [Answer(status=503, body=b"")] * 1000
    with pytest.raises(DownloadError, match=r"answered 503; nothing new came for 600 s; .*kB that came are kept"):
        bench.download()
    assert bench.clock.now_s > 600
    assert bench.kept() > 0


def test_a_server_that_always_breaks_at_the_same_byte_is_given_up(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(cut_after=100_000, ignore_range=True)] * 1000
    with pytest.raises(DownloadError, match="nothing new came"):
        bench.download()
    assert len(bench.server.seen) < 40


def test_a_server_that_sends_other_parts_than_asked_for_is_given_up(bench: Bench) -> None:
    lie = Answer(status=206, body=BODY[50:], headers={"Content-Range": f"bytes 50-{len(BODY) - 1}/{len(BODY)}"})
    bench.server.answers[PATH] = [Answer(cut_after=100_000), lie] * 20
    with pytest.raises(DownloadError, match=f"another part than it was asked for, {RESTARTS + 1} times"):
        bench.download()


def test_a_silent_server_is_not_waited_for_without_end(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(stall_after=100_000)]
    assert bench.download(silence_s=0.2) == BODY
    assert "did not answer in time" in bench.report.steps[0]


def test_no_server_at_all_is_told_in_words(bench: Bench) -> None:
    with pytest.raises(DownloadError, match="no connection: Connection refused"):
        bench.download(bench.wanted("http://127.0.0.1:9/model.zip"))
    assert list(bench.folder.iterdir()) == []


def test_a_redirect_to_http_is_followed(bench: Bench) -> None:
    bench.server.answers["/from"] = [Answer(status=302, body=b"", headers={"Location": PATH})]
    assert bench.download(bench.wanted(bench.server.url("/from"))) == BODY


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/model.zip", "gopher:x"])
def test_a_redirect_to_anything_else_is_refused(bench: Bench, target: str) -> None:
    bench.server.answers["/from"] = [Answer(status=302, body=b"", headers={"Location": target})]
    with pytest.raises(RedirectError, match="which is not followed"):
        bench.download(bench.wanted(bench.server.url("/from")))


def test_endless_redirects_are_not_followed(bench: Bench) -> None:
    bench.server.answers["/from"] = [Answer(status=302, body=b"", headers={"Location": "/from"})] * 1000
    with pytest.raises(DownloadError, match="redirects more than 5 times"):
        bench.download(bench.wanted(bench.server.url("/from")))


def test_an_encoded_body_is_refused(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(headers={"Content-Encoding": "gzip"})]
    with pytest.raises(DownloadError, match="encoded as 'gzip'"):
        bench.download()


def test_a_disk_without_room_is_told_before_anything_comes(bench: Bench) -> None:
    with pytest.raises(DownloadError, match=r"has 200 MB left, and 200 MB are needed \(200 MB of them stay free"):
        bench.download(free_bytes=200_000_000)
    assert bench.kept() == 0


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_part_is_kept(bench: Bench) -> None:
    bench.server.files[PATH] = body = BODY * 60
    free = iter([10**12, 10**12, 10])
    download = Download(
        bench.wanted(body=body, size_bytes=None),
        bench.folder,
        Web(),
        bench.report,
        free_bytes=lambda _: next(free),
    )
    with pytest.raises(DownloadError, match="10 bytes left"):
        download.run()
    assert bench.kept() > 10_000_000


def test_a_link_in_the_way_is_not_written_through(bench: Bench, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (bench.folder / "model.zip").symlink_to(victim)
    (bench.folder / "model.origin").write_bytes(b"")
    assert bench.download() == BODY
    assert victim.read_bytes() == b"untouched"


def test_ctrl_c_keeps_what_came(bench: Bench) -> None:
    bench.server.answers[PATH] = [Answer(stall_after=100_000)]

    class Impatient(Recorder):
        def progress(self, done_bytes: int, total_bytes: int | None) -> None:
            if done_bytes > 60_000:
                raise KeyboardInterrupt

    bench.report = Impatient()
    with pytest.raises(KeyboardInterrupt):
        bench.download()
    bench.report = Recorder()
    kept = bench.kept()
    assert kept > 60_000
    assert bench.download() == BODY
    assert bench.server.ranges(PATH)[-1] == f"bytes={kept}-"


# ---------------------------------------------------------------- what an answer means

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "headers", "have", "verdict"),
    [
        (200, {"Content-Length": "10"}, 0, Take(0, 10)),
        (200, {}, 7, Take(0, None)),
        (200, {"Content-Length": "-5"}, 0, Take(0, None)),
        (206, {"Content-Range": "bytes 7-9/10"}, 7, Take(7, 10)),
        (206, {"Content-Range": "bytes 7-9/*"}, 7, Take(7, None)),
        (
            206,
            {"Content-Range": "bytes 0-9/10"},
            7,
            Again("the server sent another part than it was asked for", fresh=True),
        ),
        (206, {}, 7, Again("the server sent another part than it was asked for", fresh=True)),
        (416, {"Content-Range": "bytes */7"}, 7, Complete()),
        (
            416,
            {"Content-Range": "bytes */9"},
            7,
            Again("the server does not have the part that it was asked for", fresh=True),
        ),
        (404, {}, 0, Never("the server answered 404: there is no such file")),
        (304, {}, 0, Never("the server answered 304")),
        (503, {"Retry-After": "7"}, 0, Again("the server answered 503", 7.0)),
        (503, {"Retry-After": "99999"}, 0, Again("the server answered 503", 300.0)),
        (429, {"Retry-After": "soon"}, 0, Again("the server answered 429")),
        (
            429,
            {"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)},
            0,
            Again("the server answered 429", 90.0),
        ),
        (
            429,
            {"Retry-After": format_datetime(NOW - timedelta(days=9), usegmt=True)},
            0,
            Again("the server answered 429", 0.0),
        ),
    ],
)
def test_an_answer_means(status: int, headers: dict[str, str], have: int, verdict: object) -> None:
    assert judge(status, headers, have, NOW) == verdict


@given(
    st.integers(100, 999),
    st.dictionaries(
        st.sampled_from(["Content-Range", "Content-Length", "Retry-After", "Content-Encoding"]), st.text(max_size=60)
    ),
    st.integers(0, 10**12),
)
def test_no_answer_confuses(status: int, headers: dict[str, str], have: int) -> None:
    verdict = judge(status, headers, have, NOW)
    if isinstance(verdict, Take):
        assert verdict.start in {0, have}
    if isinstance(verdict, Again):
        assert 0 <= verdict.after_s <= 300
