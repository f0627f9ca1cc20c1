"""The test command of cosmic-ray: has the server at a socket (run.py) run the tests, and ends with their exit code."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    output_bytes = bytearray()
    while more := server.recv(65536):
        output_bytes += more
output, _, code = bytes(output_bytes).rpartition(b"\n")
sys.stdout.buffer.write(output)
sys.exit(int(code) if code.lstrip(b"-").isdigit() else 70)
