"""Backup and restore of a whole Postal. Used by the role for upgrades, and on the host by two programs of its own."""
