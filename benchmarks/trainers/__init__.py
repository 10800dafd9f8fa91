"""Ways to train one network, in jconv and other libraries, each in a process of its own."""
