"""The whole system on one machine: engines, certificates, Envoy, services, and the `clarion` command."""
