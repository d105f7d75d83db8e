"""What crosses a machine boundary: MQTT topics and messages, webhook payload and signature, settings files."""
