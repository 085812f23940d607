# Token of booking: it registers itself, and finds the others.
service "booking" { policy = "write" }
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
