"""Tables of Keras layers with the options that change values, for the tests of `jconv.keras`."""
