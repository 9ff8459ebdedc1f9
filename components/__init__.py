"""The Pulumi resources of the mail stack."""
