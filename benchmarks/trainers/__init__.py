"""Training of one network in jconv and other libraries, each in its own process."""
