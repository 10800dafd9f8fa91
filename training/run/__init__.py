"""Run folders: configuration, checkpoints, resuming, signals, several processes, results and their comparison."""
