"""FCM HTTP v1 and the token endpoint that its callers need."""
