"""What a stack is made of: its processes, their environments, certificates and secrets."""
