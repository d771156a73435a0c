"""The drivers that the auth service works with."""
