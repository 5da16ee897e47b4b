"""The fused CPU engine: one pass over memory for all tensors of a group, by machine code made from a rule's graph."""
