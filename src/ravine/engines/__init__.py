"""What runs a rule. An engine lowers any graph, or calls any rule, and knows none by name."""
