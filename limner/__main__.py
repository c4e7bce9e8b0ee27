"""`python -m limner`: the command line, also under torchrun."""

import sys

from limner.cli import main

sys.exit(main())
