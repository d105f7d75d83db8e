"""`kiosk-gateway endpoint`: where webhooks go."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from contract.signature import fingerprint
from gateway.cli import endpoint_options as options
from gateway.cli import session
from gateway.configuration import GatewaySettings
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.webhooks.models import Endpoint
    from gateway.webhooks.secrets import SecretBox


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the ``endpoint`` commands."""
    commands = subparsers.add_parser(
        "endpoint", help="add, change, test, list and remove receivers of webhooks"
    ).add_subparsers(required=True, metavar="COMMAND")
    adding = _command(commands, "add", add, "send webhooks to a URL")
    options.add_destination(adding)
    options.add_secret(adding)
    options.add_filters(adding)
    options.add_transport(adding)
    changing = _command(commands, "change", change, "change its URL, headers, authorities or what is sent to it")
    changing.add_argument("--url", metavar="URL")
    options.add_filters(changing)
    changing.add_argument("--everything", action="store_true", help="send everything again, without filters")
    options.add_transport(changing)
    rotating = _command(commands, "rotate", rotate, "begin to exchange its secret: both sign until the receiver has it")
    options.add_secret(rotating).add_argument("--undo", action="store_true", help="forget the new secret")
    _command(commands, "rotated", rotated, "the receiver has the new secret; the old one signs a while longer")
    listing = commands.add_parser("list", help="show the endpoints")
    session.add_config_option(listing)
    listing.set_defaults(run=session.on_database(show_all))
    _command(commands, "show", show, "show all of one endpoint, but no secret")
    _command(commands, "remove", remove, "send nothing more to it, and cancel what is pending")
    _command(commands, "enable", enable, "send to it again from now on")
    _command(commands, "disable", disable, "send nothing to it for now; what is pending is held back")
    _command(commands, "resume", resume, "enable it and send what was held back while it was disabled")
    testing = _command(commands, "test", test, "send it a test and explain what comes back")
    testing.add_argument(
        "--probe", action="store_true", help="send more tests, to see how the receiver verifies its webhooks"
    )


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    act: Callable[[argparse.Namespace, GatewaySettings], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    session.add_config_option(parser)
    parser.add_argument("name", metavar="NAME")
    parser.set_defaults(run=session.on_database(act))
    return parser


def add(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Add one."""
    from gateway.webhooks import endpoints, secrets

    plain = endpoints.NewEndpoint(
        args.name,
        options.url(args),
        filters=options.filters(args),
        headers=options.headers(args),
        authorities=options.authorities(args) or "",
        form=options.form(args),
        mail=options.mail(args),
    )
    # Before a secret's file is made.
    endpoints.check(plain)
    box = secrets.open_box(settings.state_path)
    with options.secret(args) as secret:
        _warn(endpoints.add(replace(plain, secret=secret), box, now=datetime.now(UTC)))
    told = "" if secret is None else f", signed with the secret {fingerprint(secret)}"
    print(f"feedback is sent to {args.name}{told}; try `kiosk-gateway endpoint test {args.name}`")
    return 0


def change(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Change one."""
    from gateway.webhooks import endpoints, secrets

    is_filtered = options.has_filters(args) or args.everything
    wanted = endpoints.Change(
        url=args.url,
        filters=options.filters(args) if is_filtered else None,
        headers=options.headers(args),
        authorities=options.authorities(args),
    )
    box = secrets.open_box(settings.state_path)
    _warn(endpoints.change(args.name, wanted, box, now=datetime.now(UTC)))
    print(f"endpoint {args.name} is changed; try `kiosk-gateway endpoint test {args.name}`")
    return 0


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"kiosk-gateway: warning: {warning}", file=sys.stderr)


def rotate(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Begin to exchange the secret of one, or stop that."""
    from gateway.webhooks import endpoints, secrets

    now = datetime.now(UTC)
    if args.undo:
        endpoints.undo_rotation(args.name, now=now)
        print(f"the new secret of {args.name} is forgotten; the old one alone signs")
        return 0
    with options.secret(args) as secret:
        if secret is None:
            raise GatewayError("say which secret is the new one: --secret-file FILE, or --generate-secret FILE")
        endpoints.rotate(args.name, secret, secrets.open_box(settings.state_path), now=now)
    print(
        f"webhooks to {args.name} are signed with both secrets now, the new one is {fingerprint(secret)}; give it to "
        f"the receiver, then run `kiosk-gateway endpoint rotated {args.name}`"
    )
    return 0


def rotated(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Note that the receiver of one has the new secret."""
    from gateway.webhooks import endpoints

    until = endpoints.confirm_rotation(args.name, overlap_s=settings.webhooks.secret_overlap_s, now=datetime.now(UTC))
    print(f"the new secret of {args.name} counts; the old one signs beside it until {_time(until)}")
    return 0


def show_all(_args: argparse.Namespace, settings: GatewaySettings) -> int:
    """List them; of a secret only its fingerprint."""
    from gateway.webhooks import secrets
    from gateway.webhooks.models import Delivery, Endpoint

    box = secrets.open_box(settings.state_path)
    rows = [("NAME", "STATE", "PENDING", "SECRET", "URL")]
    for endpoint in Endpoint.objects.filter(removed_at__isnull=True):
        pending = Delivery.objects.filter(endpoint=endpoint, state=Delivery.State.PENDING).count()
        rows.append((endpoint.name, _state(endpoint), str(pending), _fingerprint(endpoint, box), endpoint.url))
    session.print_table(rows)
    return 0


def show(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Show one."""
    from gateway.webhooks import access, endpoints, filters, secrets
    from gateway.webhooks.models import Delivery

    endpoint = endpoints.get(args.name)
    box = secrets.open_box(settings.state_path)
    deliveries = Delivery.objects.filter(endpoint=endpoint)
    private = access.open_private(endpoint, box)
    rows = [
        ("name", endpoint.name),
        ("form", endpoint.form),
        ("url", endpoint.url),
        ("last changed", _time(endpoint.changed_at or endpoint.created_at)),
        ("state", _state(endpoint)),
        ("secret", _fingerprint(endpoint, box)),
        ("gets", filters.load(endpoint.filters).describe() or "everything"),
        ("headers", ", ".join(private.headers) or "none of its own"),
        ("trusts", "its own authorities" if endpoint.authorities else "the public authorities"),
        *([("mail to", ", ".join(private.mail.recipients))] if private.mail else []),
        *((str(state), str(deliveries.filter(state=state).count())) for state in Delivery.State),
    ]
    session.print_table(rows)
    return 0


def _state(endpoint: "Endpoint") -> str:
    if not endpoint.enabled:
        return endpoint.disabled_reason or "disabled"
    if endpoint.failing_since is None:
        return "enabled"
    paused = endpoint.paused_until is not None and endpoint.paused_until > datetime.now(UTC)
    pause = f", left alone until {_time(endpoint.paused_until)}" if paused and endpoint.paused_until else ""
    return f"failing since {_time(endpoint.failing_since)}{pause}"


def _fingerprint(endpoint: "Endpoint", box: "SecretBox") -> str:
    from gateway.webhooks import access

    try:
        found = [fingerprint(secret) for secret in access.secrets(endpoint, box, now=datetime.now(UTC))]
    except GatewayError:
        return "cannot be decrypted"
    if len(found) < 2:
        return found[0] if found else "none"
    other, own = found
    if endpoint.overlap_until is None:
        return f"{own}, being exchanged for {other}"
    return f"{own}, beside {other} until {_time(endpoint.overlap_until)}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def remove(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Remove one."""
    from gateway.webhooks import endpoints

    cancelled = endpoints.remove(args.name, now=datetime.now(UTC))
    print(f"endpoint {args.name} is removed; {cancelled} pending deliveries are cancelled")
    return 0


def enable(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Enable one."""
    from gateway.webhooks import endpoints

    endpoints.enable(args.name)
    print(f"endpoint {args.name} is enabled; `kiosk-gateway endpoint resume {args.name}` sends what was held back, too")
    return 0


def disable(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Disable one."""
    from gateway.webhooks import endpoints

    held = endpoints.disable(args.name, now=datetime.now(UTC))
    print(
        f"endpoint {args.name} is disabled; {held} deliveries and what comes are held back until "
        f"`kiosk-gateway endpoint resume {args.name}`"
    )
    return 0


def resume(args: argparse.Namespace, _settings: GatewaySettings) -> int:
    """Enable one and send what was held back."""
    from gateway.webhooks import endpoints, replay

    sent = replay.resume(endpoints.get(args.name), now=datetime.now(UTC))
    print(f"endpoint {args.name} is enabled; {sent} deliveries that were held back are sent")
    return 0


def test(args: argparse.Namespace, settings: GatewaySettings) -> int:
    """Send a test through the real sender; status 1 if the receiver did not accept it."""
    from gateway.webhooks import access, diagnosis, endpoints, secrets
    from gateway.webhooks.attempt import Form
    from gateway.webhooks.sender import Sender

    endpoint = endpoints.get(args.name)
    now = datetime.now(UTC)
    way = access.of(endpoint, secrets.open_box(settings.state_path), now=now)
    sender = Sender.by_settings(settings.webhooks)
    try:
        request = diagnosis.test_request(way, Form(endpoint.form), page_url=settings.page_url("test"), now=now)
        outcome = sender.send(request)
        lines = diagnosis.explain(outcome, signed=bool(way.secrets))
        if args.probe or outcome.status == 401:
            lines += diagnosis.probe(sender, request, outcome)
    finally:
        sender.close()
    for line in lines:
        print(line)
    return 0 if outcome.fault is None else 1
