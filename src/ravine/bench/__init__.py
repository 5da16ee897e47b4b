"""What a step costs: Ravine's and torch's own implementations, in turn, in one process."""
