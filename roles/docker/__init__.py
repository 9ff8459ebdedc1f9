"""Docker Engine and Compose, the daemon's configuration, and the network the parts of the mail stack share."""
