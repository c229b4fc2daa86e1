"""What faces the outside: SMTP, the provider's callbacks, the administrator's socket. Edges answer only for what is durable."""
