"""What a feedback says: sentiment, category, summary, emotion, intensity; offline, without Django."""
