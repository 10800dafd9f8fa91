"""What a run leaves on the disk, and how it survives: the run folder, checkpoints, resuming, interrupts, results."""
