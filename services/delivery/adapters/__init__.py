"""What knows a driver or a provider's protocol."""
