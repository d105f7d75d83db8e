"""The kiosks that this gateway knows: who they are, whether they are online, and what admits them to the broker."""
