"""What differs between two declarations, told from their plans: no secret is opened, nobody is asked."""
