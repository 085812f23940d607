# Token of notify: it registers itself, and finds the others.
service "notify" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
