"""How long a client waits between the dot that ends its mail and the 250, while all converters are busy.

A client sends mails of 1 MiB (--size) one after another to a real gateway that converts what came before. To be held: p50 at most
20 ms, p99 at most 100 ms.

    python bench/dot_to_250.py --mails 200
"""

from __future__ import annotations

import socket
import time

import harness
import peers


def main() -> None:
    options = harness.parser(__doc__, rounds=3)
    options.add_argument("--mails", type=int, default=200, help="in a round (default %(default)s)")
    options.add_argument("--size", type=int, default=1 << 20, help="bytes of a mail (default %(default)s)")
    options.add_argument("--idle", action="store_true", help="nothing is converted meanwhile")
    chosen = options.parse_args()
    rows = []
    with harness.work_directory(chosen.workdir) as folder:
        for number in range(1, chosen.rounds + 1):
            with peers.gateway(chosen.gateway, folder, {}, converting=not chosen.idle) as (port, _):
                waits = _waits(port, chosen.mails, chosen.size)
            rows.append(
                {
                    "round": number,
                    "mails": len(waits),
                    **{f"p{percent} ms": harness.percentile(waits, percent) * 1000 for percent in (50, 90, 99)},
                    "worst ms": max(waits) * 1000,
                }
            )
    harness.table(rows)
    harness.save(chosen.out, rows)


def _waits(port: int, mails: int, size: int) -> list[float]:
    """Seconds from the dot to the 250 of each mail but the first ten."""
    waits = []
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as replies:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _expect(replies.readline(), b"220")
        for number in range(mails + 10):
            peers.envelope(client, replies, first=not number)
            client.sendall(peers.mail(size, number).replace(b"\n", b"\r\n"))
            time.sleep(0.02)  # so that the dot comes when all before it was read
            begun = time.perf_counter()
            client.sendall(b".\r\n")
            _expect(replies.readline(), b"250")
            waits.append(time.perf_counter() - begun)
    return waits[10:]


def _expect(reply: bytes, code: bytes) -> None:
    if not reply.startswith(code):
        raise SystemExit(f"the gateway said {reply!r}")


if __name__ == "__main__":
    main()
