"""The kiosk agent: the visit, the spool, the uplink, and the command `kiosk`."""
