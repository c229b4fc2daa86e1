"""How much the memory of the gateway grows while many large mails come in at once: 20 of 20 MB, all sent, none ended.

Then all end and are accepted. One mail comes before, so that what is loaded once, by the first of all mails, does not count. To be held: growth at the peak of at most 5 % of the bytes in flight.

    python bench/memory.py
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import harness
import peers


def main() -> None:
    options = harness.parser(__doc__, rounds=1)
    options.add_argument("--mails", type=int, default=20, help="at once (default %(default)s)")
    options.add_argument("--size", type=int, default=20_000_000, help="bytes of a mail (default %(default)s)")
    chosen = options.parse_args()
    rows = []
    with harness.work_directory(chosen.workdir) as folder:
        wire = peers.mail(chosen.size).replace(b"\n", b"\r\n")
        for _ in range(chosen.rounds):
            with peers.gateway(chosen.gateway, folder, {}) as (port, pid):
                before, held, peak = _grow(port, pid, wire, chosen.mails)
            flying = chosen.mails * len(wire)
            rows.append(
                {
                    "mails MB": flying / 1e6,
                    "before MB": before / 1e6,
                    "all sent MB": held / 1e6,
                    "peak MB": peak / 1e6,
                    "growth %": 100 * (peak - before) / flying,
                }
            )
    harness.table(rows)
    harness.save(chosen.out, rows)


def _grow(port: int, pid: int, wire: bytes, mails: int) -> tuple[float, float, float]:
    """Bytes of all processes of the gateway: before, when all is sent but the ends, and the sum of their peaks."""
    _send_one(port, wire)
    _be_still(pid)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(mails):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            replies = stack.enter_context(client.makefile("rb"))
            replies.readline()
            clients.append((client, replies))
        before = _total(pid, "VmRSS")
        for member in harness.tree(pid):
            harness.forget_peak(member)
        senders = [threading.Thread(target=_send, args=(*each, wire)) for each in clients]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        held = _total(pid, "VmRSS")
        for client, _ in clients:
            client.sendall(b".\r\n")
        for _, replies in clients:
            reply = replies.readline()
            if not reply.startswith(b"250"):
                raise SystemExit(f"the gateway said {reply!r}")
        return before, held, _total(pid, "VmHWM")


def _send_one(port: int, wire: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as replies:
        replies.readline()
        _send(client, replies, wire)
        client.sendall(b".\r\n")
        replies.readline()


def _be_still(pid: int) -> None:
    """Wait until the processes have loaded what they load."""
    seen = 0.0
    while (now := _total(pid, "VmRSS")) != seen:
        seen = now
        time.sleep(1.0)


def _send(client: socket.socket, replies: peers.Replies, wire: bytes) -> None:
    peers.envelope(client, replies)
    client.sendall(wire)


def _total(pid: int, field: str) -> float:
    return sum(harness.memory(member, field) for member in harness.tree(pid))


if __name__ == "__main__":
    main()
