"""What every analysis engine gives, and the interface that it keeps."""

from typing import Literal, Protocol, get_args

import msgspec

Sentiment = Literal["positive", "negative", "neutral", "mixed"]
Category = Literal["bug", "feature_request", "praise", "churn_risk", "question", "other"]
Intensity = Literal["mild", "moderate", "strong"]
EmotionFamily = Literal["pleased", "angry", "upset", "confused", "calm"]

SENTIMENTS: tuple[Sentiment, ...] = get_args(Sentiment)
CATEGORIES: tuple[Category, ...] = get_args(Category)
INTENSITIES: tuple[Intensity, ...] = get_args(Intensity)
EMOTION_FAMILIES: tuple[EmotionFamily, ...] = get_args(EmotionFamily)


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """The analysis of one feedback; `None` means that the engine does not know.

    `emotion` is a plain English word such as `satisfied`. `summary` is one sentence made of words of the text.
    """

    sentiment: Sentiment | None = None
    category: Category | None = None
    summary: str | None = None
    emotion: str | None = None
    intensity: Intensity | None = None
    is_testimonial_candidate: bool = False


class Engine(Protocol):
    """Analyses one transcript at a time; deterministic, safe to share between threads, never raises on a str."""

    @property
    def name(self) -> str:
        """Name and version of the engine, for the record: `linear-1`."""
        ...

    def analyse(self, text: str) -> Analysis:
        """Return the analysis of a transcript; all fields null where it has no content."""
        ...
