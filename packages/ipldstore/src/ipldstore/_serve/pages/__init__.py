"""What browsers are shown: pages of what is served, and pictures of arrays. Imported by `_serve` alone."""
