"""The options of `python -m training.fit`: their parser, types and help."""
