# Token of forms: it registers itself, and finds the others.
service "forms" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
