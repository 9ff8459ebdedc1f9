"""MariaDB for Postal, as a container with its data in a volume."""
