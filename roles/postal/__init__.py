"""Postal in containers: files, database, processes, what is provisioned inside, backup and upgrade."""
