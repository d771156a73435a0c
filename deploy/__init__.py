"""How Clarion is put onto machines: one machine, containers, Kubernetes."""
