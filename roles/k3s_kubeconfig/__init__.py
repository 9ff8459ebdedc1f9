"""The administrator's kubeconfig of a k3s cluster, told as a secret."""
