"""Training 1-D convolutional networks on series, with the gradients proved first: `python -m training.fit`."""
