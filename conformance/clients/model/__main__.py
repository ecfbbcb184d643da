"""Properties of the store under random operations: `python3 -m model [WORD…]`.

FERROFLOW_MODEL_SEED sets the first seed, FERROFLOW_MODEL_SEEDS how many there are, FERROFLOW_MODEL_STEPS the
operations of each. The same seed gives the same operations.
"""

import sys

import model.properties
from kit import main

sys.exit(main(sys.argv[1:]))
