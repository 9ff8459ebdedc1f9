"""Postal v3: its configuration, its containers and what is provisioned inside it, as plain functions."""
