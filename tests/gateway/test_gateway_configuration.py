"""The settings file."""

from pathlib import Path

import pytest

from contract.settings_file import SettingsError
from gateway import configuration, database_url
from gateway.configuration import CONFIG_VARIABLE, DatabaseSettings, GatewaySettings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.setattr(configuration, "DEFAULT_PATH", tmp_path / "none.toml")


def load(tmp_path: Path, text: str) -> GatewaySettings:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return configuration.load(path)


def test_without_a_file_the_defaults_stand() -> None:
    settings = configuration.load(None)
    assert settings == GatewaySettings()
    assert sum(settings.webhooks.retry_delays_s) == 75 * 3_600 + 35 * 60 + 5
    assert (settings.broker.port, settings.webhooks.deadline_s) == (8883, 15)


def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        configuration.load(tmp_path / "missing.toml")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "missing.toml"))
    with pytest.raises(SettingsError, match="no such file"):
        configuration.load(None)


def test_the_option_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "missing.toml"))
    assert load(tmp_path, 'log_level = "DEBUG"').log_level == "DEBUG"


def test_every_key_can_be_set(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        'state_dir = "/srv/x"\npage_url_template = "http://x/{kiosk}"\nlog_level = "WARNING"\n'
        '[database]\nurl = "postgresql://gateway@db.example:5433/shop"\npassword_file = "/srv/password"\n'
        '[broker]\nhosts = ["gw.example", "10.0.0.1"]\nlisten = "10.0.0.1"\nport = 0\n'
        '[webhooks]\nretry_delays_s = []\ndeadline_s = 2\nallowed_networks = ["10.0.0.0/8", "fd00::/8"]\n',
    )
    assert settings.page_url("shop-1") == "http://x/shop-1"
    assert settings.broker.names == ("gw.example", "10.0.0.1")
    assert len(settings.webhooks.networks()) == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("stat_dir = 'x'", "'state_dir'"),
        ("[webhooks]\nretry = []", "'retry_delays_s'"),
        ("[broker]\nport = 70000", "broker.port"),
        ("[broker]\nlisten = 'everywhere'", "everywhere"),
        ("[broker]\nhosts = ['a b']", "hosts"),
        ("[webhooks]\nallowed_networks = ['10.0.0.1/8']", "10.0.0.1/8"),
        ("[webhooks]\nretry_delays_s = [-1]", "retry_delays_s"),
        ("[webhooks]\ndeadline_s = 0", "deadline_s"),
        ("page_url_template = 'https://{secret}/'", "page_url_template"),
        ("page_url_template = 'https://{host'", "template"),
        ("page_url_template = 'https://{host.x}/'", "page_url_template"),
        ("log_level = 'LOUD'", "log_level"),
        ("[database]\nurl = 'mysql://x/y'", "postgresql://"),
        ("[database]\nurl = 'postgresql://host'", "postgresql://"),
        ("[database]\nurl = 'postgresql://u@host:port/x'", "postgresql://"),
        ("[database]\npassword_file = '/x'", "password_file"),
        ("[broker.external]\nhost = 'h'", "username"),
        ("[broker.external]\nhost = 'h'\nuser = 'u'", "'username'"),
        ("[ingest]\nrate_per_s = 0", "rate_per_s"),
        ("[ingest]\nrate = 1", "'rate_per_s'"),
        ("[retention]\nfeedback_days = -1", "feedback_days"),
        ("[monitoring]\nlisten = 'everywhere'", "everywhere"),
        ("= 1", "TOML"),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert word in str(caught.value)
    assert "gateway.toml" in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://u:hunter22@host/x", "postgresql://u@host/x?password=hunter22"])
def test_a_password_in_the_databases_url_is_refused_without_being_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f'[database]\nurl = "{url}"')
    assert "password_file" in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_the_databases_url_is_taken_apart(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a pass/word\n")
    url = "postgresql://the%20gateway@db.example:5433/shop?sslmode=verify-full&connect_timeout=3"
    found = database_url.parameters(DatabaseSettings(url=url, password_file=str(secret)))
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", "5433", "shop")
    assert (found["USER"], found["PASSWORD"]) == ("the gateway", "a pass/word")
    assert (found["OPTIONS"]["sslmode"], found["OPTIONS"]["connect_timeout"]) == ("verify-full", "3")
    assert "synchronous_commit=on" in found["OPTIONS"]["options"]


def test_the_databases_url_may_name_a_socket() -> None:
    found = database_url.parameters(DatabaseSettings(url="postgresql:///shop?host=/run/postgresql"))
    assert (found["HOST"], found["PORT"], found["USER"], found["PASSWORD"]) == ("/run/postgresql", "", "", "")
    assert database_url.told("postgresql:///shop?host=/run/postgresql") == "shop on /run/postgresql"
    assert database_url.told("postgresql://u@db.example/shop") == "shop on db.example"
