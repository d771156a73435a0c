"""APNs over HTTP/2."""
