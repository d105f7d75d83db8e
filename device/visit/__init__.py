"""The visit: from the press of the button to the thanks, as a pure state machine."""
