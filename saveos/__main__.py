"""python -m saveos."""

import sys

from saveos.cli import main

sys.exit(main())
