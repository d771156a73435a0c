"""Ports, folders and names on this machine."""
