"""Registers the app with Django."""

from django.apps import AppConfig


class KiosksConfig(AppConfig):
    """The app `kiosks`."""

    name = "gateway.kiosks"
    label = "kiosks"
