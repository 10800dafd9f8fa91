"""What several benchmarks use: timing, the machine's description, errors."""
