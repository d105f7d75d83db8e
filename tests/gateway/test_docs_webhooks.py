"""What the operator's page about webhooks says is so."""

import ast
import re
import shlex
from pathlib import Path

from contract.settings_file import load
from contract.webhook import FeedbackNew, FeedbackWantsReply
from gateway.cli import main
from gateway.configuration import GatewaySettings, WebhookSettings
from gateway.webhooks import standing

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_point_of_the_checklist_is_there_once_and_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (S\d\d) \| .+ \| \[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\) \|$", PAGE, re.MULTILINE)
    assert [number for number, _, _ in rows] == [f"S{number:02}" for number in range(1, 60)]
    missing = [(number, name) for number, name, path in rows if name not in names_in(ROOT / path)]
    assert missing == []


def test_every_command_of_the_page_is_one_that_the_program_understands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    assert len(lines) > 10
    parser = main.make_parser()
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "kiosk-gateway"
        parser.parse_args(arguments)


def test_the_settings_of_the_page_exist_with_the_defaults_it_tells(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "gateway.toml"
    path.write_text(f'{block}proxy = "http://proxy.example:3128"\n')
    assert load(path, GatewaySettings).webhooks.proxy == "http://proxy.example:3128"
    failing = PAGE.partition("## When a receiver fails")[2].partition("## Slack")[0]
    named = set(re.findall(r"`([a-z_]+)`[^|\n]*\|$", failing, re.MULTILINE))
    assert named == {"retry_delays_s", "pause_after_silences", "disable_after_s", "in_flight_per_endpoint"}
    assert named <= set(WebhookSettings.__struct_fields__)
    default = WebhookSettings()
    assert (default.pause_after_silences, default.in_flight_per_endpoint) == (5, 4)
    assert (default.disable_after_s, default.secret_overlap_s) == (5 * 86_400, 86_400)
    assert (standing.FIRST_PAUSE_S, standing.LAST_PAUSE_S, standing.MAX_ASKED_PAUSE_S) == (15, 600, 3_600)


def test_the_mappings_name_fields_that_webhooks_have() -> None:
    crm = PAGE.partition("### CRM")[2].partition("## Point")[0]
    named = set(re.findall(r"^\| [^|]+ \| `([a-z_]+)`", crm, re.MULTILINE))
    assert {"summary", "transcript", "user_email", "id"} <= named
    assert named <= {*FeedbackNew.__struct_fields__, *FeedbackWantsReply.__struct_fields__}
