// Package upgrade holds the test of a rolling upgrade: the release before and this one run side
// by side on the same databases and streams, and traffic goes on while instance after instance
// is exchanged. The release before is the commit in the file previous; CONTRIBUTING.md says when
// to change it.
package upgrade
