"""Random operations against a model of the store."""
