"""The host's firewall (ufw or firewalld), the filter in front of containers, and the undo that keeps SSH open."""
