"""How a slot's values lie in memory, apart from the rule: in float32, in bfloat16, or in 8 bits with block scales."""
