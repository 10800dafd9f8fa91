"""Series to train on: built in, drawn, of the archives, or in a user's files."""
