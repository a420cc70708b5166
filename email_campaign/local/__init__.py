"""Everything that `make run` adds to the service: embedded Postgres and Valkey, the inbox, the supervisor."""
