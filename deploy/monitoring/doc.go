// Package monitoring checks what operators are given to watch an installation: Prometheus'
// configuration, its rules with their unit tests, Grafana's dashboards, and the runbook.
//
// The rules are tested by promtool (Debian: package prometheus). That every query names what a
// process really tells is checked against running processes.
package monitoring
