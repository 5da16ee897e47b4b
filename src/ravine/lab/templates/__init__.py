"""What `ravine new-task` writes."""
