"""``python -m ipld_car``: the command ``ipld-car``."""

import sys

from ._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
