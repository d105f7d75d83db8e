"""What is measured, each with one command: ``python -m benchmarks.<name>``, or all with ``make bench``."""
