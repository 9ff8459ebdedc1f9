"""What an operator asks of a running Postal on a host: processes, queue, log, backups, who may log in."""
