"""Tables of Keras layers in every option that changes the numbers, for the tests of `jconv.keras`."""
