"""Manifests of Kubernetes objects as plain data, from frozen definitions. Nothing here talks to a cluster."""
