"""Programs that tests run as processes, and what processes that are spawned import."""
