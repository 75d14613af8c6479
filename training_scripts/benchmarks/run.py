"""Measure hf_multitask side by side with its peers.

    python training_scripts/benchmarks/run.py [training inference ...] [--quick] [--data FOLDER] [--output FOLDER]

See README.md beside this file.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # In the place of this folder, whose files would stand before modules of the same name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.suite import main, quiet

    quiet()
    main(sys.argv[1:])
