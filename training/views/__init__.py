"""Progress, reports, pictures, the HTML page, and logs for TensorBoard and MLflow."""
