"""Mail, in and out: reading what people send, writing what we send, and handing it to the mail server."""
