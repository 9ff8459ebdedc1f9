"""What people and machines get to read of a run: pure functions, one module for each form."""
