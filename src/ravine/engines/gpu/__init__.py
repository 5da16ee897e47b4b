"""The fused GPU engine: one launch for all tensors of a kind on a device, by PTX made from a rule's graph."""
