// Package rendertest renders the Helm chart and reads the compose file with the libraries of
// Helm, Kubernetes and Compose, and checks what comes out. It is a module of its own, because
// those libraries must not bend the versions that the services are built with.
package rendertest
