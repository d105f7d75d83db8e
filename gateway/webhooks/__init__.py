"""Webhooks to the customer's backend: endpoints, the outbox, the sender."""
