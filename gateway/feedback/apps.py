"""Registers the app with Django."""

from django.apps import AppConfig


class FeedbackConfig(AppConfig):
    """The app `feedback`."""

    name = "gateway.feedback"
    label = "feedback"
