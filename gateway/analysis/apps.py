"""Registers the app with Django."""

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    """The app `analysis`."""

    name = "gateway.analysis"
    label = "analysis"
