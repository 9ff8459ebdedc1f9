"""Everything about the mail stack that is not a Pulumi resource: settings, renderers, records, checks."""
