"""How long the doors take to open: `import mfrec` and the command, beside `import torch` in the same run.

    python nbs/studies/startup.py startup.json

Each is a process of its own, the least of several taken in turn.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

COMMAND = ["-c", "from mfrec.doors.command import main; main()"]
DOORS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import mfrec": ["-c", "import mfrec"],
    "mfrec --help": [*COMMAND, "--help"],
    "mfrec fit --help": [*COMMAND, "fit", "--help"],
    "mfrec --version": [*COMMAND, "--version"],
    "a typing error": [*COMMAND, "fitt"],
}


def seconds(arguments: list[str]) -> float:
    "Of one process."
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    rounds = [{name: seconds(arguments) for name, arguments in DOORS.items()} for _ in range(5)]
    least = {name: min(taken[name] for taken in rounds) for name in DOORS}
    table = {name: {"seconds": round(value, 3), "of import torch": round(value / least["import torch"], 3)}
             for name, value in least.items()}
    Path(sys.argv[1]).write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
