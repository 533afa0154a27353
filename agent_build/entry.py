"""First module of the frozen agent: everything it does is in saveos.agent."""

import sys

from saveos.agent.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
