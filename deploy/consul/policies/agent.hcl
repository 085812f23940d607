# Token of the agent on each machine: it keeps its own node up to date.
node_prefix "" { policy = "write" }
service_prefix "" { policy = "read" }
