"""One node of a Kubernetes cluster by k3s: its program, configuration and service, upgraded and removed with care."""
