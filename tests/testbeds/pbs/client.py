"""What qsub, qstat and the others are on the bed: they carry their words to the server and bring its answer back."""

import json
import os
import socket
import sys
import time

HOUSE = "@HOUSE@"


def main() -> None:
    program, argv = os.path.basename(sys.argv[0]), sys.argv[1:]
    asked = {"program": program, "argv": argv, "cwd": os.getcwd(), "env": dict(os.environ), "stdin": ""}
    if program == "qsub" and not (argv and os.path.isfile(argv[-1])) and not sys.stdin.isatty():
        asked["stdin"] = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{HOUSE}/socket")
        server.sendall(json.dumps(asked).encode())
        server.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: server.recv(1 << 16), b""))
    answer = json.loads(said)
    time.sleep(answer["pause"])
    for stream, text in ((sys.stdout, answer["out"]), (sys.stderr, answer["err"])):
        stream.buffer.write(text.encode("utf-8", "surrogateescape"))
        stream.flush()
    os._exit(answer["rc"])


main()
