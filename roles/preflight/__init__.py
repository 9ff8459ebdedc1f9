"""First role on every host: is it ready, and does it have what the other roles need? Changes nothing."""
