# Token of edge: it registers itself, and finds the others.
service "edge" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
