"""Training without files: the plan of a run, what it changes, one step, and the loop over epochs."""
