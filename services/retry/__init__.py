"""What could not be delivered, and when it is tried again."""
