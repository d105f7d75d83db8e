"""Settings files: every mistake is one sentence that names the file, the key and what would be right."""

from pathlib import Path

import msgspec
import pytest

from contract.settings_file import SettingsError, load


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    retries: int = 9


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    max_body_bytes: int = 1
    mode: str = "plain"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: int = 8000
    web: Web = Web()
    proxy: Web | None = None
    endpoints: tuple[Endpoint, ...] = ()
    named: dict[str, Endpoint] = {}
    networks: list[str] = []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def refusal(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsError) as caught:
        load(path, Settings)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    return sentence.removeprefix(f"{path}: ")


def test_an_empty_file_gives_the_defaults(path: Path) -> None:
    path.write_text("", encoding="utf-8")
    assert load(path, Settings) == Settings()


def test_every_kind_of_value_is_read(path: Path) -> None:
    path.write_text(
        'port = 1\nnetworks = ["10.0.0.0/8"]\n[web]\nmax-body-bytes = 5\n[proxy]\nmode = "x"\n'
        '[[endpoints]]\nurl = "a"\n[[endpoints]]\nurl = "ü"\nretries = 0\n[named.one]\nurl = "c"\n',
        encoding="utf-8",
    )
    assert load(path, Settings) == Settings(
        port=1,
        networks=["10.0.0.0/8"],
        web=Web(max_body_bytes=5),
        proxy=Web(mode="x"),
        endpoints=(Endpoint("a"), Endpoint("ü", 0)),
        named={"one": Endpoint("c")},
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("prot = 1", "unknown key 'prot' at the top level; the nearest valid key is 'port'"),
        ("[wbe]", "unknown key 'wbe' at the top level; the nearest valid key is 'web'"),
        ("[web]\nmode = 'x'\nmoed = 'x'", "unknown key 'moed' in [web]; the nearest valid key is 'mode'"),
        (
            "[web]\nmax_body_bytes = 1",
            "unknown key 'max_body_bytes' in [web]; the nearest valid key is 'max-body-bytes'",
        ),
        ("[proxy]\nmod = 'x'", "unknown key 'mod' in [proxy]; the nearest valid key is 'mode'"),
        (
            "[[endpoints]]\nurl = 'a'\n[[endpoints]]\nurl = 'b'\nretrys = 1",
            "unknown key 'retrys' in [endpoints[1]]; the nearest valid key is 'retries'",
        ),
        (
            "[named.one]\nurl = 'a'\nretrys = 1",
            "unknown key 'retrys' in [named[...]]; the nearest valid key is 'retries'",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_table_and_the_nearest_valid_key(
    path: Path, content: str, sentence: str
) -> None:
    assert refusal(path, content) == sentence


@pytest.mark.parametrize("key", ['"a.b"', '"a`b"', '"a` - at `$.web"', '"\\u001b[31m\\n"', '""', '"ключ"'])
def test_a_strange_key_is_still_one_printable_sentence(path: Path, key: str) -> None:
    sentence = refusal(path, f"{key} = 1")
    assert sentence.startswith("unknown key ")
    assert sentence.isprintable()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("port = 'x'", "port: Expected `int`, got `str`"),
        ("port = 1.5", "port: Expected `int`, got `float`"),
        ("port = true", "port: Expected `int`, got `bool`"),
        ("port = 2026-01-01", "port: Expected `int`, got `date`"),
        ("web = 1", "web: Expected `object`, got `int`"),
        ("[web]\nmax-body-bytes = '5'", "web.max-body-bytes: Expected `int`, got `str`"),
        ("[[endpoints]]\nurl = 5", "endpoints[0].url: Expected `str`, got `int`"),
        ("[[endpoints]]\nretries = 5", "endpoints[0]: Object missing required field `url`"),
        ("networks = ['a', 5]", "networks[1]: Expected `str`, got `int`"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_place(path: Path, content: str, sentence: str) -> None:
    assert refusal(path, content) == sentence


def test_what_is_no_toml_is_told_with_the_line(path: Path) -> None:
    assert "at line 2" in refusal(path, "port = 1\nport : 2\n")
    assert refusal(path, "port = 1\nport = 2\n").startswith("is no valid TOML: Cannot overwrite a value")


@pytest.mark.parametrize("content", ["x = " + "[" * 5_000, "port = " + "9" * 5_000])
def test_what_the_parser_cannot_bear_is_one_sentence_too(path: Path, content: str) -> None:
    assert refusal(path, content) == "is nested too deeply, or holds a number that is too long"


def test_what_is_no_utf_8_is_told_with_the_byte(path: Path) -> None:
    assert refusal(path, b"port = 1 # \xff") == "is no UTF-8 text (byte 11)"


def test_a_missing_file_says_what_to_do(path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such file; write one, or name another with --config"):
        load(path, Settings)


def test_a_folder_in_its_place_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path, Settings)
