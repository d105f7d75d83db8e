"""The bytes of an event in each form; frozen when the delivery is made."""

from uuid import UUID

from contract.webhook import Payload, serialise
from gateway.analysis.models import FeedbackAnalysis
from gateway.feedback.models import Feedback
from gateway.webhooks import messages
from gateway.webhooks.attempt import Form


def body(form: Form, payload: Payload) -> bytes:
    """Return what is sent."""
    if form is Form.SLACK:
        return messages.slack(payload)
    if form is Form.MAIL:
        return messages.mail(payload)
    return serialise(payload)


def origin(feedback: UUID) -> tuple[str, bool]:
    """Return a feedback's kiosk, and whether it is a testimonial candidate: what not every payload tells."""
    kiosk = Feedback.objects.values_list("kiosk_id", flat=True).get(pk=feedback)
    found = FeedbackAnalysis.objects.filter(feedback_id=feedback).values_list("is_testimonial_candidate", flat=True)
    return kiosk, bool(found.first())
