"""The message broker of one shop: mosquitto, configured, started and watched by the gateway."""
