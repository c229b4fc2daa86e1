"""Fax providers: each adapter knows one outside service and translates its errors at its door."""
