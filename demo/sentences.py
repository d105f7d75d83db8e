"""What the synthetic voices of `demo/speech` say; the demonstration model recognises each of them exactly."""

from pathlib import Path

SPEECH = Path(__file__).parent / "speech"

SENTENCES = {
    SPEECH / "flowers.wav": "i love the flowers near the entrance",
    SPEECH / "pizza.wav": "we come every friday for the pizza",
    SPEECH / "carts.wav": "why are the shopping carts outside always wet",
    SPEECH / "mirror.wav": "the mirror in the fitting room is broken",
    SPEECH / "pharmacy.wav": "the woman at the pharmacy was very patient with me",
}
