"""What several benchmarks share: servers that are far away, a node, memory that was touched, arrays of many chunks."""
