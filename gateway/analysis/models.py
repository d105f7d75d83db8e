"""What the analysis found, one row for each feedback that is through with it."""

from typing import ClassVar, get_args

from django.db import models
from django.db.models import Q

from contract.webhook import MAX_EMOTION_CHARS, MAX_SUMMARY_CHARS, Category, Intensity, Sentiment
from gateway.feedback.models import Feedback


def _null_or_one_of(field: str, values: tuple[str, ...]) -> Q:
    return Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__in": list(values)})


class FeedbackAnalysis(models.Model):
    """The analysis of one feedback; it is final."""

    class Status(models.TextChoices):
        """How it ended."""

        DONE = "done"
        UNAVAILABLE = "unavailable"
        """There was no transcript, or the engine failed; everything is null."""

    feedback = models.OneToOneField(Feedback, models.CASCADE, primary_key=True, related_name="analysis")
    status = models.CharField(max_length=16, choices=Status)
    engine = models.CharField(max_length=100)
    finished_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    sentiment = models.CharField(max_length=16, null=True)
    category = models.CharField(max_length=16, null=True)
    summary = models.CharField(max_length=MAX_SUMMARY_CHARS, null=True)
    emotion = models.CharField(max_length=MAX_EMOTION_CHARS, null=True)
    intensity = models.CharField(max_length=16, null=True)
    is_testimonial_candidate = models.BooleanField(default=False)

    class Meta:
        """Constraints."""

        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(status__in=["done", "unavailable"]), name="analysis_status_is_known"),
            models.CheckConstraint(
                condition=_null_or_one_of("sentiment", get_args(Sentiment)), name="analysis_sentiment_is_known"
            ),
            models.CheckConstraint(
                condition=_null_or_one_of("category", get_args(Category)), name="analysis_category_is_known"
            ),
            models.CheckConstraint(
                condition=_null_or_one_of("intensity", get_args(Intensity)), name="analysis_intensity_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(status="unavailable")
                | Q(
                    sentiment__isnull=True,
                    category__isnull=True,
                    summary__isnull=True,
                    emotion__isnull=True,
                    intensity__isnull=True,
                    is_testimonial_candidate=False,
                ),
                name="analysis_unavailable_says_nothing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feedback_id}: {self.status}"
