"""Training itself, without files: a learner, the plan of a run, one step, the loop over epochs."""
