"""The one place that ties search, training and storage together."""
