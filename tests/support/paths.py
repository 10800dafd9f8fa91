"""Paths of the project and of the recorded files of Keras 2."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
KERAS_TWO_FILES = Path(__file__).parent / "keras_two_files"
