"""The commands, and what they say to a mistake."""

import json
import stat

import pytest

from contract import credentials
from gateway.broker import passwords
from gateway.kiosks.models import Kiosk
from gateway.webhooks.models import Endpoint
from tests.gateway.support import NOW, Receiver, Shell, make_kiosk
from tests.gateway.test_gateway_outbox import enqueue

pytestmark = pytest.mark.django_db(transaction=True)


def test_adding_a_kiosk_writes_what_it_needs_and_keeps_only_a_hash(shell: Shell) -> None:
    path = shell.folder / "k.toml"
    status, out, _ = shell("kiosk", "add", "shop-1", "--name", "Front", "--credentials", str(path))
    assert status == 0
    assert "gw.example port 8884" in out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = credentials.load(path)
    assert (made.kiosk_id, made.username, made.host, made.port) == ("shop-1", "shop-1", "gw.example", 8884)
    row = Kiosk.objects.get()
    assert passwords.matches(made.password, row.credential)
    assert made.password not in row.credential
    assert made.password not in out
    assert made.ca_certificate == (shell.folder / "state" / "tls" / "ca.pem").read_text()


def test_an_existing_credentials_file_is_not_overwritten(shell: Shell) -> None:
    path = shell.folder / "k.toml"
    path.write_text("mine")
    assert "there already" in shell.fails("kiosk", "add", "shop-1", "--credentials", str(path))
    assert path.read_text() == "mine"
    assert Kiosk.objects.count() == 0


def test_if_the_credentials_cannot_be_written_no_kiosk_is_added(shell: Shell) -> None:
    path = shell.folder / "missing" / "k.toml"
    assert "no kiosk was changed" in shell.fails("kiosk", "add", "shop-1", "--credentials", str(path))
    assert Kiosk.objects.count() == 0


def test_a_kiosk_is_added_once_and_renewed_with_a_new_password(shell: Shell) -> None:
    one, two, three = (shell.folder / f"{number}.toml" for number in (1, 2, 3))
    shell("kiosk", "add", "shop-1", "--name", "Front", "--credentials", str(one))
    assert "--renew" in shell.fails("kiosk", "add", "shop-1", "--credentials", str(two))
    assert not two.exists()
    assert shell("kiosk", "add", "shop-1", "--renew", "--credentials", str(three))[0] == 0
    row = Kiosk.objects.get()
    assert row.name == "Front"
    assert not passwords.matches(credentials.load(one).password, row.credential)
    assert passwords.matches(credentials.load(three).password, row.credential)


def test_a_removed_kiosk_can_be_added_again(shell: Shell) -> None:
    shell("kiosk", "add", "shop-1", "--credentials", str(shell.folder / "1.toml"))
    assert shell("kiosk", "remove", "shop-1")[0] == 0
    assert "shop-1" not in shell("kiosk", "list")[1]
    assert "no kiosk" in shell.fails("kiosk", "remove", "shop-1")
    assert "no kiosk" in shell.fails("kiosk", "add", "shop-1", "--renew", "--credentials", str(shell.folder / "2.toml"))
    assert shell("kiosk", "add", "shop-1", "--credentials", str(shell.folder / "3.toml"))[0] == 0
    assert "shop-1" in shell("kiosk", "list")[1]


@pytest.mark.parametrize("name", ["Shop", "a/b", "+", "#", "a" * 64, "-a", "a\n"])
def test_a_kiosk_id_that_could_reach_other_topics_is_refused(shell: Shell, name: str) -> None:
    command = ["kiosk", "add", "--credentials", str(shell.folder / "k.toml"), "--", name]
    assert "kiosk id" in shell.fails(*command, status=2)


def test_an_endpoint_is_added_with_a_secret_from_a_file_and_shown_by_its_fingerprint(shell: Shell) -> None:
    path = shell.folder / "secret"
    path.write_text("a secret that is long\n")
    status, _, err = shell("endpoint", "add", "hook", "https://example.org/x", "--secret-file", str(path))
    assert (status, err) == (0, "")
    _, out, _ = shell("endpoint", "list")
    assert "hook" in out
    assert "a secret" not in out
    stored = Endpoint.objects.get().secret
    assert stored is not None
    assert b"a secret" not in bytes(stored)


def test_a_generated_secret_is_written_to_a_new_file(shell: Shell) -> None:
    path = shell.folder / "secret"
    assert shell("endpoint", "add", "hook", "https://example.org/x", "--generate-secret", str(path))[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) > 40
    other = ("endpoint", "add", "other", "https://example.org/x", "--generate-secret", str(path))
    assert "there already" in shell.fails(*other)
    again = shell.folder / "again"
    assert "endpoint hook already" in shell.fails(
        "endpoint", "add", "hook", "https://example.org/x", "--generate-secret", str(again)
    )
    assert not again.exists()


def test_http_and_a_missing_secret_are_allowed_with_a_warning(shell: Shell) -> None:
    status, _, err = shell("endpoint", "add", "hook", "http://example.org/x")
    assert status == 0
    assert "use https" in err
    assert "no secret" in err


@pytest.mark.parametrize(
    "secret", ["short", " a secret that is long", "a secret that\tis long", "a secret that is long\n\n"]
)
def test_a_secret_from_careless_pasting_is_refused(shell: Shell, secret: str) -> None:
    path = shell.folder / "secret"
    path.write_text(secret)
    shell.fails("endpoint", "add", "hook", "https://example.org/x", "--secret-file", str(path), status=2)
    assert Endpoint.objects.count() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("hook", "example.org"),
        ("hook", "https://u:p@example.org/"),
        ("a b", "https://example.org/"),
        ("hook", "https://example.org/", "--secret-file", "/nonexistent/secret"),
    ],
)
def test_a_mistake_in_an_endpoint_is_one_sentence(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.fails("endpoint", "add", *arguments, status=2)


@pytest.mark.parametrize("command", ["remove", "enable", "disable", "test"])
def test_an_endpoint_that_does_not_exist_is_said(shell: Shell, command: str) -> None:
    assert "no endpoint" in shell.fails("endpoint", command, "nothing")


def test_an_endpoint_can_be_switched_and_removed(shell: Shell) -> None:
    shell("endpoint", "add", "hook", "https://example.org/x")
    shell("endpoint", "disable", "hook")
    assert "disabled by the operator" in shell("endpoint", "list")[1]
    shell("endpoint", "enable", "hook")
    assert " enabled " in shell("endpoint", "list")[1]
    shell("endpoint", "remove", "hook")
    assert "hook" not in shell("endpoint", "list")[1]


def test_the_test_goes_through_the_real_sender(shell: Shell, receiver: Receiver) -> None:
    shell("endpoint", "add", "hook", receiver.url, "--generate-secret", str(shell.folder / "secret"))
    status, out, _ = shell("endpoint", "test", "hook")
    assert status == 0
    assert "accepted a signed test with 200" in out
    assert "Webhook-Signature" in receiver.requests[0][0]
    receiver.answers = [(401, {})]
    status, out, _ = shell("endpoint", "test", "hook")
    assert status == 1
    assert "raw body" in out


def test_the_test_says_that_an_address_is_refused(shell: Shell) -> None:
    shell("endpoint", "add", "hook", "http://127.0.0.2:9/")
    status, out, _ = shell("endpoint", "test", "hook")
    assert status == 1
    assert "127.0.0.2 is no public address" in out
    assert "allowed_networks" in out


def test_deliveries_are_listed_for_people_and_programs(shell: Shell) -> None:
    make_kiosk("shop-1")
    Endpoint.objects.create(name="hook", url="https://example.org/", created_at=NOW)
    row = enqueue()
    assert str(row.pk) in shell("deliveries", "list")[1]
    (line,) = shell("deliveries", "list", "--json")[1].splitlines()
    listed = json.loads(line)
    assert (listed["feedback"], listed["event"], listed["endpoint"]) == (str(row.pk), "feedback.new", "hook")
    assert (listed["state"], listed["attempts"], listed["last_status"]) == ("pending", 0, None)
    assert listed["next_due_at"] == "2026-03-01T12:00:00.000Z"


def test_a_wrong_key_in_the_settings_is_one_sentence(shell: Shell) -> None:
    shell.config.write_text("stat_dir = 'x'")
    assert "'stat_dir'" in shell.fails("kiosk", "list", status=2)


def test_a_damaged_key_file_is_one_sentence(shell: Shell) -> None:
    shell("endpoint", "add", "hook", "https://example.org/x")
    (shell.folder / "state" / "endpoint_keys").write_text("nonsense")
    assert "damaged" in shell.fails("endpoint", "list")


def test_a_state_directory_that_cannot_be_used_is_one_sentence(shell: Shell) -> None:
    (shell.folder / "state").write_text("a file")
    assert "state directory" in shell.fails("kiosk", "list")
