"""What people see and ask for at a terminal."""
