"""The one error type of the rehearsal's Kubernetes."""

__all__ = ["KubernetesError"]


class KubernetesError(RuntimeError):
    """Something about the cluster did not work; the message says what was tried, what was answered and what helps."""
