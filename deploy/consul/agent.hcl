# The agent on each machine with services. With it: site.hcl.
server = false
data_dir = "/var/lib/consul"
log_level = "INFO"
disable_update_check = true
enable_script_checks = false
leave_on_terminate = true

# The services of this machine alone talk to it, without TLS and with their tokens.
client_addr = "127.0.0.1"
ports {
  https    = -1
  grpc     = -1
  grpc_tls = -1
}

tls {
  defaults {
    ca_file         = "/etc/consul.d/tls/ca.crt"
    tls_min_version = "TLSv1_2"
    verify_outgoing = true
  }
  internal_rpc { verify_server_hostname = true }
}
auto_encrypt { tls = true }

acl {
  enabled                  = true
  default_policy           = "deny"
  down_policy              = "extend-cache"
  enable_token_persistence = true
}
# HAProxy asks for edge.service.consul on port 8600: give the agent a default token with
# policies/dns.hcl (consul acl set-agent-token default …).
dns_config {
  only_passing = true
  node_ttl     = "1s"
  service_ttl { "*" = "1s" }
}
