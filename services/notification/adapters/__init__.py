"""The only files of this service that know a driver."""
