"""The steps of a notification's way, one small class each. Each does its part for a batch and hands it on."""
