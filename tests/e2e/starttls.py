"""Says something before STARTTLS and sends commands in the clear right behind it. Prints the last line of each reply."""
import socket
import ssl
import sys

port, alias = int(sys.argv[1]), sys.argv[2]
stream = socket.create_connection(("127.0.0.1", port), timeout=60)


def hear():
    reply = b""
    while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] != b" ":
        octets = stream.recv(4096)
        if not octets:
            sys.exit("closed")
        reply += octets
    print(reply.decode().splitlines()[-1])


def say(text):
    stream.sendall(text.encode())
    hear()


hear()
say("EHLO before\r\n")
say("MAIL FROM:<mallory@home.example>\r\n")
say("STARTTLS\r\nRSET\r\nEHLO injected\r\n")
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
stream = context.wrap_socket(stream)
say(f"RCPT TO:<{alias}>\r\n")
say("EHLO behind\r\n")
say(f"RCPT TO:<{alias}>\r\n")
