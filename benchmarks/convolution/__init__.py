"""One convolution: the geometries, the libraries compared, and their tables."""
