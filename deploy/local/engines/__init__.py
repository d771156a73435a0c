"""The engines under the services: where each is found, how it starts, how one knows that it is ready."""
