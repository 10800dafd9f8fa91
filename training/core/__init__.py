"""Training without files: the plan of a run, the learner that it changes, one step, and the loop over epochs."""
