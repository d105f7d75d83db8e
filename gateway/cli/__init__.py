"""The command `kiosk-gateway`."""
