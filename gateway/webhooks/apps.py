"""Registers the app with Django."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """The app `webhooks`."""

    name = "gateway.webhooks"
    label = "webhooks"
