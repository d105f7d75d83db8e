"""Feedback and replies from the kiosks: judged, stored, receipted; what does not fit is quarantined."""
