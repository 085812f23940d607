# Token of auth: it registers itself, and finds the others.
service "auth" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
