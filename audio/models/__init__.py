"""The models' shelf: which speech models can be had, are installed, are active. `demonstration-en` comes along."""
