"""Parts of the commands: their list, task and plan from options, fine-tuning, folds."""
