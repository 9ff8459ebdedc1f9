"""What a pull request is told of a stack: a preview read, rendered, and put there as one comment that is updated."""
