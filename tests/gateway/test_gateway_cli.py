"""The commands, and what they say to a mistake."""

import json
import stat
from collections.abc import Callable
from typing import Any

import pytest

from contract import credentials, signature
from gateway.broker import passwords
from gateway.kiosks.models import Kiosk
from gateway.webhooks.models import Delivery, Endpoint
from tests.gateway.support import NOW, Receiver, Shell, make_kiosk, verifying_receiver
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


@pytest.mark.parametrize("command", ["remove", "enable", "disable", "test", "show", "change", "resume", "rotated"])
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


SECRET = "a secret that is long"


def deliveries(*webhook_ids: str) -> list[str]:
    states = dict(Delivery.objects.values_list("webhook_id", "state"))
    return [states[each] for each in webhook_ids]


def ended(state: str = "exhausted") -> str:
    """Put a delivery in that has come to its end; return its id."""
    row = Delivery.objects.get(feedback=enqueue())
    Delivery.objects.filter(pk=row.pk).update(state=state, next_due_at=None, finished_at=NOW)
    return row.webhook_id


def test_what_is_sent_to_an_endpoint_is_chosen_when_it_is_added_and_changed_later(shell: Shell) -> None:
    shell("endpoint", "add", "hook", "https://example.org/x", "--sentiment", "negative", "--category", "bug")
    assert "sentiment negative, category bug" in shell("endpoint", "show", "hook")[1]
    shell("endpoint", "change", "hook", "--event", "feedback.wants_reply", "--testimonial", "no")
    assert "event feedback.wants_reply, testimonial no" in shell("endpoint", "show", "hook")[1]
    shell("endpoint", "change", "hook", "--url", "https://example.org/y")
    assert "event feedback.wants_reply" in shell("endpoint", "show", "hook")[1]
    shell("endpoint", "change", "hook", "--everything")
    _, out, _ = shell("endpoint", "show", "hook")
    assert "everything" in out
    assert "https://example.org/y" in out
    assert "last changed" in out


def test_headers_come_from_a_file_and_only_their_names_are_shown(shell: Shell) -> None:
    path = shell.folder / "headers"
    path.write_text("Authorization: Bearer hidden\nX-Shop: 1\n")
    assert shell("endpoint", "add", "hook", "https://example.org/x", "--headers-file", str(path))[0] == 0
    _, out, _ = shell("endpoint", "show", "hook")
    assert "Authorization, X-Shop" in out
    assert "hidden" not in out
    path.write_text("Host: elsewhere\n")
    assert "Host" in shell.fails("endpoint", "change", "hook", "--headers-file", str(path), status=2)


def test_a_ca_file_without_a_certificate_is_one_sentence(shell: Shell) -> None:
    path = shell.folder / "ca.pem"
    path.write_text("no certificate")
    add = ("endpoint", "add", "hook", "https://example.org/x", "--ca-file", str(path))
    assert "PEM" in shell.fails(*add, status=2)


def test_a_secret_is_exchanged_step_by_step(shell: Shell, receiver: Receiver) -> None:
    old, new = shell.folder / "old", shell.folder / "new"
    old.write_text(SECRET)
    shell("endpoint", "add", "hook", receiver.url, "--secret-file", str(old))
    assert "--secret-file" in shell.fails("endpoint", "rotate", "hook")
    assert "both secrets" in shell("endpoint", "rotate", "hook", "--generate-secret", str(new))[1]
    assert "being exchanged for" in shell("endpoint", "list")[1]
    shell("endpoint", "test", "hook")
    assert "beside it until" in shell("endpoint", "rotated", "hook")[1]
    shell("endpoint", "test", "hook")
    before, after = (headers["Webhook-Signature"].split(",") for headers, _ in receiver.requests)
    assert (len(before), len(after)) == (3, 3)
    assert "not being exchanged" in shell.fails("endpoint", "rotated", "hook")
    for (headers, body), secret in zip(receiver.requests, (SECRET, new.read_text().strip()), strict=True):
        last = headers["Webhook-Signature"].rpartition("v1=")[2]
        assert last == signature.digest(body, int(headers["Webhook-Timestamp"]), secret)


def test_an_exchange_can_be_undone_and_needs_a_secret(shell: Shell) -> None:
    shell("endpoint", "add", "plain", "https://example.org/x")
    made = ("--generate-secret", str(shell.folder / "new"))
    assert "no secret to exchange" in shell.fails("endpoint", "rotate", "plain", *made)
    assert not (shell.folder / "new").exists()
    shell("endpoint", "add", "hook", "https://example.org/x", "--generate-secret", str(shell.folder / "old"))
    shell("endpoint", "rotate", "hook", *made)
    assert "forgotten" in shell("endpoint", "rotate", "hook", "--undo")[1]
    assert "being exchanged" not in shell("endpoint", "list")[1]


def test_a_disabled_endpoint_is_resumed_with_what_was_held_back(shell: Shell) -> None:
    make_kiosk("shop-1")
    shell("endpoint", "add", "hook", "https://example.org/x")
    enqueue()
    assert "1 deliveries" in shell("endpoint", "disable", "hook")[1]
    enqueue()
    assert "2 deliveries" in shell("endpoint", "resume", "hook")[1]
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}


def test_deliveries_are_sent_again_by_id_and_by_filter(shell: Shell) -> None:
    make_kiosk("shop-1")
    shell("endpoint", "add", "hook", "https://example.org/x")
    one, two, three = ended(), ended(), ended("delivered")
    assert one in shell("deliveries", "replay", one)[1]
    assert deliveries(one, two, three) == ["pending", "exhausted", "delivered"]
    assert "0 deliveries" in shell("deliveries", "replay", "--endpoint", "hook", "--since", "2026-03-02")[1]
    assert "1 deliveries" in shell("deliveries", "replay", "--endpoint", "hook", "--since", "2026-03-01T12:00Z")[1]
    assert deliveries(one, two, three) == ["pending", "pending", "delivered"]
    assert "1 deliveries" in shell("deliveries", "replay", "--state", "delivered", "--until", "2026-03-02")[1]
    assert "Webhook-Id" in shell.fails("deliveries", "replay", status=2)
    assert "Webhook-Id" in shell.fails("deliveries", "replay", one, "--state", "delivered", status=2)
    assert "no delivery" in shell.fails("deliveries", "replay", "nothing")


def test_a_test_that_is_refused_says_the_likely_reason(shell: Shell) -> None:
    def judge(verify: Callable[[bytes, str], bool]) -> str:
        with verifying_receiver(verify) as url:
            shell("endpoint", "change", "hook", "--url", url)
            return shell("endpoint", "test", "hook", "--probe")[1]

    def signed(body: bytes, header: str, secret: str = SECRET) -> bool:
        moment_s = int(header.split(",")[0].removeprefix("t=")) if header else 0
        return header == signature.sign(body, moment_s, [secret])

    def write_again(body: bytes, **style: Any) -> bytes:
        return json.dumps(json.loads(body), **style).encode()

    path = shell.folder / "secret"
    path.write_text(SECRET)
    shell("endpoint", "add", "hook", "http://127.0.0.1:1/", "--secret-file", str(path))
    assert "verifies the raw body and refuses" in judge(signed)
    compact = {"ensure_ascii": False, "separators": (",", ":")}
    assert "written again, not the raw one" in judge(lambda body, head: signed(write_again(body, **compact), head))
    assert "Python's json.dumps" in judge(lambda body, head: signed(write_again(body), head))
    assert "another secret" in judge(lambda body, head: signed(body, head, "another secret, as long"))
    assert "accepts a wrong signature" in judge(lambda _body, _head: True)
    assert "without one it accepts" in judge(lambda _body, head: not head)


def test_a_slack_endpoint_shows_no_more_than_the_beginning_of_its_url(shell: Shell, receiver: Receiver) -> None:
    path = shell.folder / "url"
    path.write_text(f"{receiver.url}/services/hidden\n")
    assert shell("endpoint", "add", "team", "--slack", "--url-file", str(path))[0] == 0
    listed, shown = shell("endpoint", "list")[1], shell("endpoint", "show", "team")[1]
    assert "hidden" not in listed + shown
    row = Endpoint.objects.get()
    assert row.private is not None
    assert b"hidden" not in bytes(row.private)
    assert shell("endpoint", "test", "team")[0] == 0
    ((headers, body),) = receiver.requests
    assert "Webhook-Signature" not in headers
    assert json.loads(body)["blocks"][0]["text"]["text"] == "New feedback: positive, praise"
    shell("endpoint", "change", "team", "--sentiment", "negative")
    assert shell("endpoint", "test", "team")[0] == 0


def test_mail_is_set_up_with_a_password_from_a_file(shell: Shell) -> None:
    path = shell.folder / "password"
    path.write_text("hidden\n")
    mail = (
        "--from",
        "kiosk@shop.example",
        "--to",
        "boss@shop.example",
        "--username",
        "me",
        "--password-file",
        str(path),
    )
    assert shell("endpoint", "add", "boss", "smtps://mail.example.org", *mail, "--category", "bug")[0] == 0
    shown = shell("endpoint", "show", "boss")[1]
    assert "boss@shop.example" in shown
    assert "category bug" in shown
    assert "hidden" not in shown
    row = Endpoint.objects.get()
    assert row.private is not None
    assert b"hidden" not in bytes(row.private)


@pytest.mark.parametrize(
    "arguments",
    [
        ("smtps://mail.example.org",),
        ("smtps://mail.example.org", "--from", "a@b.example"),
        ("smtps://mail.example.org/path", "--from", "a@b.example", "--to", "c@d.example"),
        ("smtps://mail.example.org", "--slack", "--from", "a@b.example", "--to", "c@d.example"),
        ("smtps://mail.example.org", "--from", "nobody", "--to", "c@d.example"),
        ("smtps://mail.example.org", "--from", "a@b.example", "--to", "c@d.example", "--username", "me"),
        ("https://example.org/", "--to", "c@d.example"),
        ("https://example.org/", "--slack", "--secret-file", "secret"),
    ],
)
def test_a_mistake_in_a_slack_or_mail_endpoint_is_one_sentence(shell: Shell, arguments: tuple[str, ...]) -> None:
    (shell.folder / "secret").write_text(SECRET)
    paths = [str(shell.folder / each) if each == "secret" else each for each in arguments]
    shell.fails("endpoint", "add", "hook", *paths, status=2)
    assert Endpoint.objects.count() == 0
