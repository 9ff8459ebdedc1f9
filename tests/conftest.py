"""What all tests share."""

from hypothesis import settings

# `make check` asks for it: fewer examples of each property. `make test` tries as many as Hypothesis thinks right.
settings.register_profile("fast", max_examples=25)
