# Token of payment: it registers itself, and finds the others.
service "payment" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
