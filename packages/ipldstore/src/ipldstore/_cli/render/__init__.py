"""What the commands print: results as lines of text, and as JSON."""
