"""The deployables, one folder each, and the runtime that they share."""
