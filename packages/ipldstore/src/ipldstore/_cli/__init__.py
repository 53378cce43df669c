"""The command `ipldstore`: `commands/` parse words and call the rooms below. Nothing imports this room."""
