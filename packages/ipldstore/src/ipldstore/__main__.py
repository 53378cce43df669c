"""``python -m ipldstore`` is the command ``ipldstore``."""

import sys

from ipldstore._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
