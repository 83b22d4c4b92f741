"""`snakemake --lint` without its message that functions and rules stand in one file.

Each rule file opens with the helpers of its rules, so that it can be read without another one.
"""

import sys

from snakemake.cli import main
from snakemake.linting.snakefiles import SnakefileLinter

del SnakefileLinter.lint_mixed_func_and_rules
sys.exit(main(["--lint"]))
