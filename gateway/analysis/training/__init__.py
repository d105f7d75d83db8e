"""How the embedded engine's weights are made: rows, training, evaluation. Not needed on a gateway."""
