"""`kiosk-gateway analyse` as a process: JSON lines in, JSON lines out, bad lines named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = (
    "import argparse, sys\n"
    "from gateway.cli.analyse import add_parser\n"
    "parser = argparse.ArgumentParser(prog='kiosk-gateway')\n"
    "add_parser(parser.add_subparsers(required=True))\n"
    "chosen = parser.parse_args()\n"
    "status = chosen.run(chosen)\n"
    "sys.exit(99 if 'django' in sys.modules else status)\n"
)
KEYS = ["id", "sentiment", "category", "summary", "emotion", "intensity", "is_testimonial_candidate", "engine"]


def analyse(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", PROGRAM, "analyse", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def answers(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_lines_from_standard_input_are_answered_in_order(arguments: list[str]) -> None:
    lines = b'{"id": "a", "text": "i love this shop"}\n\n{"id": 7, "text": "where is the exit", "more": 1}\n'
    done = analyse(*arguments, stdin=lines)
    assert done.returncode == 0, done.stderr
    first, second = answers(done)
    assert list(first) == KEYS
    assert (first["id"], first["sentiment"], first["engine"]) == ("a", "positive", "linear-1")
    assert (second["id"], second["category"]) == (7, "question")


def test_no_text_gives_null_fields() -> None:
    done = analyse(stdin=b'{"id": "a", "text": null}\n{"id": "b", "text": ""}\n{"id": "c"}\n')
    assert done.returncode == 0
    for answer in answers(done):
        assert [answer[key] for key in KEYS[1:6]] == [None] * 5
        assert answer["is_testimonial_candidate"] is False


def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_bytes(b'{"id": "a", "text": "great"}\nnonsense\n{"text": "no id"}\n\xff\n{"id": "b", "text": "great"}\n')
    done = analyse(str(file))
    assert done.returncode == 1
    assert [answer["id"] for answer in answers(done)] == ["a", "b"]
    complaints = done.stderr.decode().splitlines()
    assert [f"{file}, line {number}" in line for number, line in zip((2, 3, 4), complaints, strict=True)] == [True] * 3


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "none.jsonl"
    done = analyse(str(missing))
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [f"{missing} cannot be read: No such file or directory."]


def test_text_outside_the_basic_alphabet_comes_out_as_valid_json() -> None:
    done = analyse(stdin='{"id": "\\u98df", "text": "great coffee \\ud83d\\ude00 \u98df"}\n'.encode())
    assert done.returncode == 0, done.stderr
    assert answers(done)[0]["id"] == "\u98df"
