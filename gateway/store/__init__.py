"""The durable state: one SQLite file. SQL lives here and nowhere else; model values go in and out.

Functions take an explicit transaction, so that several of them commit together::

    await database.write(lambda tx: (jobs.change(tx, ...), outbox.add(tx, ...)))
"""
