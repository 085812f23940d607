# One of three Consul servers. With it: site.hcl (addresses, gossip key; see site.hcl.example).
#   consul agent -config-dir=/etc/consul.d
server = true
ui_config { enabled = false }
data_dir = "/var/lib/consul"
log_level = "INFO"
disable_update_check = true
enable_script_checks = false
leave_on_terminate = false
performance { raft_multiplier = 1 }   # notices a dead leader within seconds

# The API without TLS is for this machine; others use 8501.
client_addr = "127.0.0.1"
addresses { https = "0.0.0.0" }
ports {
  https    = 8501
  grpc     = -1
  grpc_tls = -1
}

tls {
  defaults {
    ca_file         = "/etc/consul.d/tls/ca.crt"
    cert_file       = "/etc/consul.d/tls/server.crt"   # names server.DATACENTER.consul
    key_file        = "/etc/consul.d/tls/server.key"
    tls_min_version = "TLSv1_2"
    verify_outgoing = true
  }
  internal_rpc {
    verify_incoming        = true
    verify_server_hostname = true
  }
  https { verify_incoming = false }     # the token says who it is
}
auto_encrypt { allow_tls = true }       # agents get their certificates from the servers

# Who has no token sees and changes nothing.
acl {
  enabled                  = true
  default_policy           = "deny"
  down_policy              = "extend-cache"   # known tokens stay good while the servers are away
  enable_token_persistence = true
}
