"""What became of notifications, counted."""
