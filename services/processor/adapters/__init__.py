"""The processor's peers."""
