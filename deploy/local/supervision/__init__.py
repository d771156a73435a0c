"""Keeps processes running: starts, watches, restarts, drains; leaves none behind."""
