"""Throw-away hosts, stand-ins and benchmarks: everything that proves the project without a cloud."""
