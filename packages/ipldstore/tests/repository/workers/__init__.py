"""Programs that tests of repositories start as processes."""
