"""The recipe of the English demonstration model: a small Vosk model made from synthetic voices alone."""
