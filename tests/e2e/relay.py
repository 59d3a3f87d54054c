"""A component server that is a wire: what comes on stdin goes to a socket, what comes from there goes to stdout.

The test at the other end plays the server with raw bytes over the gateway's real pipe. Argument: path of the socket.
"""

import os
import socket
import sys
import threading


def pump(read, write, close):
    try:
        while data := read():
            write(data)
    except OSError:
        pass
    close()


def write_all(data):
    while data:
        data = data[os.write(1, data) :]


sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
threading.Thread(target=pump, args=(lambda: sock.recv(65536), write_all, lambda: os._exit(0)), daemon=True).start()
pump(lambda: os.read(0, 65536), sock.sendall, lambda: None)
sock.close()
