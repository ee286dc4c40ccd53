package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// A server is one kind of program that tests talk to. Adding one takes a file with such a type, a line in servers, and
// its part of testenv.Servers.
type server interface {
	// name is what `--only` and `status` call it.
	name() string
	// install makes its programs available. Doing it again is cheap.
	install(ctx context.Context) error
	// start starts it with its data in p, and writes where it is into its part of all. It need not wait until the
	// server is ready.
	start(ctx context.Context, p *place, all *testenv.Servers) error
	// health asks the running server something over its own protocol, as its administrator.
	health(ctx context.Context, all testenv.Servers) error
	// describe is one line for people: where it is.
	describe(all testenv.Servers) string
}

// servers lists every server, in the order in which they start.
func servers() []server {
	return []server{
		postgresql{}, vault{}, scim{}, mysql{}, oauth{}, kubernetes{}, aws{}, ldap{}, ldap{rfc2307bis: true}, activeDirectory{},
		redmine{}, rsyslog{}, syslogNG{}, collector{}, clis{},
	}
}

func serverNames() []string {
	var names []string
	for _, s := range servers() {
		names = append(names, s.name())
	}
	return names
}

func findServer(name string) (server, error) {
	all := servers()
	i := slices.IndexFunc(all, func(s server) bool { return s.name() == name })
	if i < 0 {
		return nil, fmt.Errorf("no server %q: there are %s", name, strings.Join(serverNames(), ", "))
	}
	return all[i], nil
}
