"""The worker between accepting and sending: reads accepted notifications, routes them, has them delivered, reports."""
