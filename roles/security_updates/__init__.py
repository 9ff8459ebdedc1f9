"""Security updates of the operating system, by the system's own means and without a reboot."""
