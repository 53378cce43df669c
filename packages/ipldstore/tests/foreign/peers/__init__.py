"""Programs that other environments run: they write with what excludes our dependencies."""
