"""How a process runs: start, identity, calls, stores, drain. Knows no business and no service."""
