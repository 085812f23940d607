# Default token of the agent in front of which HAProxy stands: names of the edges, nothing else.
service "edge" { policy = "read" }
node_prefix "" { policy = "read" }
