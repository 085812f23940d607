// Package deploytest checks what deploy/ ships with the programs that read it: three NATS
// nodes with their permissions, Consul, HAProxy, PostgreSQL, systemd, and our own processes.
// The Helm chart and the compose file are checked in deploy/rendertest, which is a module of
// its own because of Helm's libraries.
//
// A program that is missing fails the test, which says what to install.
package deploytest
