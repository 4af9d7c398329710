"""A small HTTP server that leaks on request."""
import socket

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 3000))
server.listen(64)
hoard = []
while True:
    client, _ = server.accept()
    request = client.recv(4096)
    if request.startswith(b"GET /leak"):
        # Touches pages, because copying would thrash for many seconds before the kernel kills it.
        hoard.append(bytearray(256 << 20))
        for page in range(0, 256 << 20, 4096):
            hoard[0][page] = 1
    client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    client.close()
