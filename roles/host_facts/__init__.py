"""Looks at a host and says what it sees: certificates, clock, space, backups, updates, SSH logins."""
