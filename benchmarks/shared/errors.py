"""The one exception for what a user got wrong: its message is the line that the command prints, without a traceback."""


class UserError(ValueError):
    """A mistake in an option or a file, said in one line that names it."""
