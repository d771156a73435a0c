"""Delivery: hands messages to providers and keeps what they answered."""
