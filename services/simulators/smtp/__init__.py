"""A mail relay."""
