"""What the kernel's files say of the sound cards."""

from pathlib import Path

import pytest

from audio.sound_cards import Holder, SoundCard, sound_cards

CARDS = """\
 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones
                      bcm2835 Headphones
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.2, full speed
10 [Array          ]: USB-Audio - Array [4 mics] - UAC1.0
                      Maker Array at usb-0000:01:00.0-1.4, high speed
"""
RUNNING = "state: RUNNING\nowner_pid   : 812\ntrigger_time: 1.2\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    asound = tmp_path / "asound"
    for folder, status in (("card0/pcm0p", RUNNING), ("card1/pcm0p", RUNNING), ("card1/pcm0c", "closed\n"),
                           ("card10/pcm1c", "closed\n")):  # fmt: skip
        (asound / folder / "sub0").mkdir(parents=True)
        (asound / folder / "sub0" / "status").write_text(status)
    (asound / "cards").write_text(CARDS)
    return tmp_path


def test_cards_that_can_record_are_listed_with_their_usb_sockets(proc: Path) -> None:
    assert sound_cards(proc) == [
        SoundCard(1, "USB PnP Sound Device", "usb-0000:01:00.0-1.2", ()),
        SoundCard(10, "Array [4 mics] - UAC1.0", "usb-0000:01:00.0-1.4", ()),
    ]


def test_the_program_that_records_from_a_card_is_named(proc: Path) -> None:
    (proc / "asound/card10/pcm1c/sub0/status").write_text(RUNNING)
    assert sound_cards(proc)[1].holders == (Holder(1, None, 812, None),)
    (proc / "asound/card10/pcm1c/info").write_text("card: 10\ndevice: 1\nid: USB Audio\nname: Front mics\n")
    (proc / "812").mkdir()
    (proc / "812" / "comm").write_text("python3\n")
    assert sound_cards(proc)[1].holders == (Holder(1, "Front mics", 812, "python3"),)


def test_a_machine_without_alsa_has_no_cards(tmp_path: Path) -> None:
    assert sound_cards(tmp_path) == []
    (tmp_path / "asound").mkdir()
    (tmp_path / "asound" / "cards").write_text("--- no soundcards ---\n")
    assert sound_cards(tmp_path) == []
