"""A process that speaks like the page of a run, as well or as badly as its first argument says.

It writes what it hears into the file of its second argument, a line at a time, and says the lines of its third, a JSON
list.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

manner, heard = sys.argv[1:3]
words = json.loads(sys.argv[3])


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


settings = json.loads(sys.stdin.readline())
Path(heard).write_text(json.dumps(settings) + "\n", encoding="utf-8")
if manner == "cannot":
    say(json.dumps({"error": "port 1 is for others"}))
elif manner == "breaks":
    raise SystemExit("no such framework")
elif manner == "mumbles":
    say("hello")
else:
    say(json.dumps({"ready": f"http://127.0.0.1:{settings['port']}/"}))
    for word in words:
        say(word)
    if manner == "meddles":
        draw = random.Random(1)
        for _ in range(60):
            say(draw.choice(words))
            time.sleep(draw.uniform(0.0, 0.1))
        say(json.dumps({"pause": True}))
        with Path(heard).open("a", encoding="utf-8") as file:
            for line in sys.stdin:
                file.write(line)
                if '"paused"' in line:
                    break
        say(json.dumps({"speed": None}))
        say(json.dumps({"resume": True}))
    if manner == "dies":
        sys.stdin.readline()
        raise SystemExit("out of memory")
    if manner == "hangs up":
        os.close(1)
    if manner == "deaf":
        while Path(heard).exists():
            time.sleep(0.05)
    if manner == "floods":
        try:
            while True:
                sys.stdout.write(words[0] * 1000)
        except BrokenPipeError:
            sys.stderr.close()
            raise SystemExit(0) from None
with Path(heard).open("a", encoding="utf-8") as file:
    for line in sys.stdin:
        file.write(line)
        file.flush()
