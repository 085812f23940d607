# Token of console: it registers itself, and finds the others.
service "console" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
