import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.models import language as languages
from audio.models.catalogue import MAX_DOCUMENT_BYTES, MAX_ENTRIES, CatalogueError, check_url, parse
from audio.models.catalogue_source import CatalogueSource, Fetched, readable_age
from audio.models.target import Listed, Local, Remote, find_target
from audio.models.web import Web
from tests.audio.model_archives import catalogue, entry
from tests.audio.model_server import Answer, ModelServer

URL = "https://example.com/x.zip"
PATH = "/list.json"


def of(name: str, **fields: object) -> dict[str, object]:
    return entry(name, name.encode(), URL, **fields)


OFFERED = catalogue(
    of("vosk-model-small-en-us-0.4"),
    of("vosk-model-small-en-us-0.15"),
    of("vosk-model-small-en-us-0.22", obsolete="true"),
    of("vosk-model-en-us-0.42", type="big"),
    of("vosk-model-small-en-in-0.99", lang="en-in"),
    of("vosk-model-small-de-0.15", lang="de"),
    of("vosk-model-small-de-zamia-0.30", lang="de", version="zamia-0.30"),
    of("vosk-model-small-cn-0.22", lang="cn"),
    of("vosk-model-ar-0.4", lang="ar", type="big"),
    of("vosk-model-small-ar-tn-0.1", lang="ar-tn", obsolete="true"),
    of("vosk-model-spk-0.4", lang="all", type="spk"),
)


# ---------------------------------------------------------------- the format


def test_the_vosk_projects_own_form_of_entry_is_understood() -> None:
    document = b"""[{"lang": "en-us", "lang_text": "US English", "md5": "09AB50CCD62B674CBAA231B825F9C1CB",
        "name": "vosk-model-small-en-us-0.15", "obsolete": "false", "size": 41205931, "size_text": "39.3MiB",
        "type": "small", "url": "https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip",
        "version": "0.15", "something_new": [1, {"a": null}]}]"""
    found = parse(document)
    assert found.problem is None
    model = found.named("VOSK-MODEL-SMALL-EN-US-0.15")
    assert model is not None
    assert (model.language, model.size, model.is_obsolete) == ("en-us", 41205931, False)


BAD = [
    {"name": "../x"}, {"name": ".hidden"}, {"name": "a/b"}, {"name": ""}, {"name": "x" * 101}, {"name": 7},
    {"name": "active.json"}, {"url": "ftp://example.com/x"}, {"url": "file:///etc/passwd"}, {"url": "x.zip"},
    {"url": "https://"}, {"url": "https://u:p@example.com/x"}, {"url": "https://example.com/a b"},
    {"url": "https://example.com/" + "x" * 2000}, {"url": "http://example.com:99999/"}, {"md5": "x" * 32},
    {"md5": "a" * 31}, {"size": 0}, {"size": -1}, {"size": 2**40}, {"size": "40"}, {"size": 1.5}, {"lang": "x"},
    {"lang": "en\x1b[2J"}, {"version": "a\nb"}, {"lang_text": "\x1b]0;x"}, {"type": "x" * 200}, {"obsolete": "maybe"},
]  # fmt: skip


@pytest.mark.parametrize("fields", BAD, ids=str)
def test_an_entry_that_does_not_fit_is_skipped_and_told_once(fields: dict[str, object]) -> None:
    found = parse(catalogue(of("vosk-model-small-de-0.15"), {**of("vosk-model-small-fr-0.22"), **fields}))
    assert [one.name for one in found.entries] == ["vosk-model-small-de-0.15"]
    assert found.problem is not None
    assert found.problem.startswith("1 of the catalogue's 2 entries cannot be used and were skipped; entry 2: ")
    assert "\n" not in found.problem
    assert "\x1b" not in found.problem


@pytest.mark.parametrize("missing", ["name", "url", "md5", "size", "lang"])
def test_an_entry_without_what_is_needed_is_skipped(missing: str) -> None:
    lacking = {key: value for key, value in of("vosk-model-small-fr-0.22").items() if key != missing}
    assert len(parse(catalogue(of("vosk-model-small-de-0.15"), lacking)).entries) == 1


def test_a_second_entry_of_the_same_name_is_skipped() -> None:
    found = parse(catalogue(of("vosk-model-small-de-0.15"), of("Vosk-model-small-de-0.15", size=7)))
    assert len(found.entries) == 1
    assert "another one has the name" in str(found.problem)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "no JSON list"),
        (b"<html>", "no JSON list"),
        (b'{"a": 1}', "no JSON list"),
        (b"\xff\xfe", "no JSON list"),
        (b"[" * 100_000, "no JSON list"),
        (b"[1, 2]", "no entry of the catalogue can be used; the first of 2: entry 1"),
        (b" " * (MAX_DOCUMENT_BYTES + 1), "more than 2 MiB"),
        (b"[" + b"0," * MAX_ENTRIES + b"0]", f"more than {MAX_ENTRIES}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_catalogue_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        parse(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(of("x"))), inner),
    max_leaves=12,
)


@given(
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps([of("good"), value]).encode())
)
def test_no_document_confuses(document: bytes) -> None:
    with contextlib.suppress(CatalogueError):
        for one in parse(document).entries:
            assert check_url(one.url) == one.url


# ---------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("en", "vosk-model-small-en-us-0.15"),
        ("en-us", "vosk-model-small-en-us-0.15"),
        ("en-in", "vosk-model-small-en-in-0.99"),
        ("de", "vosk-model-small-de-0.15"),
        ("zh", "vosk-model-small-cn-0.22"),
    ],
)
def test_the_newest_small_model_that_is_not_obsolete_is_chosen(language: str, name: str) -> None:
    assert parse(OFFERED).newest_small(language).name == name


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("ar", "no small model for 'ar' that is not obsolete; install by name: vosk-model-ar-0.4, vosk-model-small-ar"),
        ("de-at", "for the language as such it has vosk-model-small-de-0.15"),
        ("xx", "no model for 'xx'; see: kiosk model list --available"),
    ],
)
def test_a_language_without_a_small_model_is_told_with_what_there_is(language: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        parse(OFFERED).newest_small(language)


@pytest.mark.parametrize(
    ("code", "tag"),
    [("EN_us", "en-us"), ("cn", "zh"), ("vn", "vi"), ("gr", "el"), ("ua", "uk"), ("kz", "kk"), ("el-gr", "el-gr"),
     (" de ", "de"), ("english", None), ("e", None), ("", None), ("en-", None), ("en-\u00e9\u00e9", None)],
)  # fmt: skip
def test_the_vosk_projects_codes_become_tags(code: str, tag: str | None) -> None:
    assert languages.tag(code) == tag


@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("vosk-model-small-en-us-0.15", ("en-us", "small", "0.15")),
        ("vosk-model-en-us-0.22-lgraph", ("en-us", "big", "0.22-lgraph")),
        ("vosk-model-ar-mgb2-0.4", ("ar", "big", "mgb2-0.4")),
        ("vosk-model-small-cn-0.22", ("zh", "small", "0.22")),
        ("demonstration-en", None),
        ("vosk-model-small", None),
    ],
)
def test_a_models_name_says_what_it_is(name: str, described: tuple[str, str, str] | None) -> None:
    found = languages.described(name)
    assert (found and (found.language, found.kind, found.version)) == described


def test_versions_are_ordered_by_their_numbers() -> None:
    versions = ["0.22", "zamia-0.3", "0.4", "0.15", "rhasspy-0.15"]
    assert sorted(versions, key=languages.age) == ["zamia-0.3", "rhasspy-0.15", "0.4", "0.15", "0.22"]


@pytest.mark.parametrize("text", ["./x", "/media/usb", "x.zip", "X.ZIP", ".", "..", "de/", "~/x.zip"])
def test_a_path_is_told_from_a_name(text: str) -> None:
    assert isinstance(find_target(text, lambda: pytest.fail("the catalogue was asked")), Local)


def test_an_address_names_the_model() -> None:
    found = find_target("https://example.com/a/my-model.zip?x=1", lambda: pytest.fail("the catalogue was asked"))
    assert found == Remote("https://example.com/a/my-model.zip?x=1", "my-model")


def test_a_language_is_told_from_a_name_and_the_choice_is_explained() -> None:
    by_name = find_target("vosk-model-en-us-0.42", lambda: parse(OFFERED))
    assert isinstance(by_name, Listed)
    assert by_name.choice is None
    by_language = find_target("en", lambda: parse(OFFERED))
    assert isinstance(by_language, Listed)
    assert by_language.choice == (
        "vosk-model-small-en-us-0.15 is the newest small model for 'en-us'; there are others for en-in"
    )


def test_a_name_that_is_not_offered_but_lies_here_gets_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodel").mkdir()
    with pytest.raises(CatalogueError, match=r"no model 'mymodel'.*; for what lies here, write \./mymodel"):
        find_target("mymodel", lambda: parse(OFFERED))


# ---------------------------------------------------------------- where it comes from


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ModelServer() as running:
        running.files[PATH] = OFFERED
        yield running


class Source:
    def __init__(self, address: str, folder: Path) -> None:
        self.now_s = 1_000_000.0
        self.slept: list[float] = []
        self.source = CatalogueSource(
            address, folder, Web(), wall=lambda: self.now_s, sleep=self.slept.append, draw=lambda: 1.0
        )

    def fetch(self) -> Fetched:
        return self.source.fetch()


def test_a_catalogue_is_kept_for_when_there_is_no_network(server: ModelServer, tmp_path: Path) -> None:
    source = Source(server.url(PATH), tmp_path / "models")
    fresh = source.fetch()
    assert fresh.age_s is None
    source.now_s += 3 * 86400 + 5
    server.answers[PATH] = [Answer(status=503, body=b"")] * 3
    kept = source.fetch()
    assert kept.catalogue.entries == fresh.catalogue.entries
    assert kept.age_s == 3 * 86400 + 5
    assert "answered 503" in str(kept.fault)
    assert len(source.slept) == 2
    assert source.fetch().age_s is None


def test_without_a_network_and_a_kept_catalogue_the_way_from_a_file_is_told(
    server: ModelServer, tmp_path: Path
) -> None:
    server.files.clear()
    with pytest.raises(CatalogueError, match=r"answered 404: there is no such file; without the network, install from"):
        Source(server.url(PATH), tmp_path / "models").fetch()


def test_a_catalogue_of_another_address_is_not_used(server: ModelServer, tmp_path: Path) -> None:
    Source(server.url(PATH), tmp_path / "models").fetch()
    with pytest.raises(CatalogueError):
        Source(server.url("/another.json"), tmp_path / "models").fetch()


def test_a_kept_catalogue_that_is_damaged_is_no_catalogue(server: ModelServer, tmp_path: Path) -> None:
    Source(server.url(PATH), tmp_path / "models").fetch()
    path = tmp_path / "models" / "catalogue.json"
    path.write_bytes(path.read_bytes().replace(b"https://", b"gopher:/"))
    server.files.clear()
    with pytest.raises(CatalogueError):
        Source(server.url(PATH), tmp_path / "models").fetch()


def test_rubbish_from_the_server_does_not_replace_a_kept_catalogue(server: ModelServer, tmp_path: Path) -> None:
    source = Source(server.url(PATH), tmp_path / "models")
    source.fetch()
    server.answers[PATH] = [Answer(body=b"<html>log in to the hotel's network</html>")]
    assert source.fetch().age_s == 0


def test_a_connection_that_breaks_is_tried_again(server: ModelServer, tmp_path: Path) -> None:
    server.answers[PATH] = [Answer(cut_after=100), Answer(status=500, body=b"")]
    assert Source(server.url(PATH), tmp_path / "models").fetch().age_s is None


def test_an_endless_catalogue_is_not_read_to_its_end(server: ModelServer, tmp_path: Path) -> None:
    server.files[PATH] = b" " * (3 * MAX_DOCUMENT_BYTES)
    with pytest.raises(CatalogueError, match="more than 2 MiB"):
        Source(server.url(PATH), tmp_path / "models").fetch()


def test_a_file_is_read_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(OFFERED)
    assert len(Source(str(path), tmp_path / "models").fetch().catalogue.entries) == 11
    assert not (tmp_path / "models").exists()
    with pytest.raises(CatalogueError, match="No such file"):
        Source(str(tmp_path / "none.json"), tmp_path / "models").fetch()


def test_a_folder_that_cannot_be_written_is_no_obstacle(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"a file")
    assert Source(server.url(PATH), tmp_path / "models").fetch().age_s is None


@pytest.mark.parametrize("address", ["ftp://example.com/list.json", "https://u:p@example.com/", "http://"])
def test_an_address_that_is_none_is_told(tmp_path: Path, address: str) -> None:
    with pytest.raises(CatalogueError, match="the catalogue's address cannot be used"):
        Source(address, tmp_path).fetch()


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (5, "less than a minute old"),
        (61, "1 minute old"),
        (7300, "2 hours old"),
        (90000, "1 day old"),
        (-5, "of unknown age (the clock was set back)"),
    ],
)
def test_ages_are_readable(age_s: float, text: str) -> None:
    assert readable_age(age_s) == text
