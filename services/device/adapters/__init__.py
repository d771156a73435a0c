"""The stores behind the ports; the only files that know a driver."""
