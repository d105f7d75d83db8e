"""A kiosk without a network works, and what it keeps arrives when there is one."""

import pytest

from demo.sentences import SENTENCES, SPEECH
from tests.conftest import MakeStore

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

WAIT_S = 40.0
SPOKEN = [SPEECH / "flowers.wav", SPEECH / "pizza.wav"]


def test_visits_before_the_first_contact_are_thanked_and_delivered_in_order_without_a_restart(
    make_store: MakeStore,
) -> None:
    store = make_store(thanks_s=0.5)
    store.start_panel()
    store.start_kiosk()
    visits = []
    for wav in SPOKEN:
        mark = store.visit(wav)
        store.happenings.wait_for("panel", "scene", scene="thanks", since=mark, timeout_s=WAIT_S)
        committed = store.happenings.wait_for("kiosk", "committed", since=mark, timeout_s=WAIT_S)
        visits.append(committed.fields["visit"])
        store.happenings.wait_for("panel", "scene", scene="idle", since=mark, timeout_s=WAIT_S)
    assert store.spooled() == visits
    assert store.kiosk is not None
    pid = store.kiosk.pid

    mark = len(store.happenings)
    store.start_gateway()
    for visit in visits:
        store.happenings.wait_for("receiver", "webhook", feedback=visit, since=mark, timeout_s=90)
        store.happenings.wait_for("kiosk", "receipt", visit=visit, stored=True, since=mark, timeout_s=WAIT_S)

    stored = [one.fields["feedback"] for one in store.happenings.find("gateway", "feedback stored")]
    assert stored == visits
    # Webhooks of two feedbacks may overtake each other.
    bodies = {one.fields["feedback"]: one.fields["body"] for one in store.happenings.find("receiver", "webhook")}
    assert bodies.keys() == set(visits)
    assert all(SENTENCES[wav] in bodies[visit] for wav, visit in zip(SPOKEN, visits, strict=True))
    assert store.spooled() == []
    assert store.kiosk.alive
    assert store.kiosk.pid == pid
