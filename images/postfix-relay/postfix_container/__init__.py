"""The Postfix relay in a container: the same definition and the same renderer as on a virtual machine."""
