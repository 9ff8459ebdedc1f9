"""Measurements that `make bench` prints: nothing here is needed to deploy or to test the project."""
