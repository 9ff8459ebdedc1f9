"""The nodes of a k3s cluster as a whole: all declared ones ready, those no longer declared taken out."""
