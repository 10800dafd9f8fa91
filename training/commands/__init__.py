"""What the commands share: their list, a task and plan made from options, fine-tuning, folds."""
