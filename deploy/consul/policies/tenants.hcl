# Token of tenants: it registers itself, and finds the others.
service "tenants" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
