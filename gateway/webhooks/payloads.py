"""What a feedback and its analysis say in the webhooks' words."""

from contract.webhook import FeedbackNew, FeedbackWantsReply, timestamp
from gateway.analysis.models import FeedbackAnalysis
from gateway.feedback.models import Feedback, Reply


def feedback_new(feedback: Feedback, analysis: FeedbackAnalysis, page_url: str) -> FeedbackNew:
    """Return the payload of ``feedback.new``."""
    return FeedbackNew(
        id=str(feedback.pk),
        transcript=feedback.transcript,
        sentiment=analysis.sentiment,  # type: ignore[arg-type]
        category=analysis.category,  # type: ignore[arg-type]
        summary=analysis.summary,
        emotion=analysis.emotion,
        intensity=analysis.intensity,  # type: ignore[arg-type]
        is_testimonial_candidate=analysis.is_testimonial_candidate,
        page_url=page_url,
        created_at=timestamp(feedback.created_at),
    )


def wants_reply(feedback: Feedback, analysis: FeedbackAnalysis, reply: Reply, page_url: str) -> FeedbackWantsReply:
    """Return the payload of ``feedback.wants_reply``; its time is that of the visit."""
    return FeedbackWantsReply(
        id=str(feedback.pk),
        user_email=reply.user_email,
        wants_reply=True,
        transcript=feedback.transcript,
        sentiment=analysis.sentiment,  # type: ignore[arg-type]
        category=analysis.category,  # type: ignore[arg-type]
        summary=analysis.summary,
        page_url=page_url,
        created_at=timestamp(feedback.created_at),
    )
