"""First module of the frozen appliance.

A frozen program is no interpreter: the `-m MODULE` with which the appliance starts its second process is done here.
Each process imports its own half only.
"""

import runpy
import sys

if __name__ == "__main__":
    match sys.argv:
        case [_, "-m", module, *_] if module.startswith("saveos."):
            sys.argv = sys.argv[2:]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case _:
            from saveos.cli import main

            sys.exit(main())
