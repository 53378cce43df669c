"""What processes and copies of a store do in the tests of this folder, in modules that spawned processes import."""
