// Package history is a test: random histories of configurations, changes by hand on the platforms, faults and kills, each
// against what the promises in the README say. It has no code but tests.
//
// A history runs the real provider in this process, through the plugin protocol, as Terraform does (package
// internal/acctest/core), over three sandboxes. After every plan and every apply it is checked that nothing was revoked
// that the plan had not shown, that no account of somebody else was touched, that nothing that is there was taken for
// gone, that every change has its evidence and that no secret is anywhere but in the stores. Then luck becomes good, and
// after a few runs the platforms must be exactly as declared; after destroying, nothing of ours may be left.
//
//	make histories                                      # 10,000
//	go test ./internal/history -rapid.checks=1000       # some
//	go test ./internal/history -rapid.seed=123456789    # one again
package history
