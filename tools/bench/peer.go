package main

import (
	"fmt"
	"strings"
)

// peerSettings say how the peer reaches the server.
type peerSettings struct{ arguments, database string }

// peerConfiguration is main.tf for the provider that PostgreSQL users run today: the same roles with the same rights as
// benchRights, with as few resources as it takes.
func (s scene) peerConfiguration(at peerSettings) string {
	var text strings.Builder
	text.WriteString("terraform {\n  required_providers {\n    postgresql = { source = \"cyrilgdn/postgresql\" }\n  }\n}\n\n")
	fmt.Fprintf(&text, "provider \"postgresql\" {\n%s}\n\n", at.arguments)
	fmt.Fprintf(&text, "resource \"postgresql_role\" \"svc\" {\n  count = %d\n  name  = \"svc-${count.index}\"\n  login = true\n"+
		"  roles = [\"bench_audit\", \"bench_reporting\"]\n}\n", s.n)
	for _, right := range []struct{ name, kind, objects, privilege string }{
		{"invoices", "table", `["invoices"]`, "SELECT"},
		{"ledger", "table", `["ledger"]`, "INSERT"},
		{"schema", "schema", `[]`, "USAGE"},
		{"numbers", "sequence", `["numbers"]`, "USAGE"},
	} {
		fmt.Fprintf(&text, "\nresource \"postgresql_grant\" %q {\n  count       = %d\n  role        = postgresql_role.svc[count.index].name\n"+
			"  database    = %q\n  schema      = \"bench\"\n  object_type = %q\n  objects     = %s\n  privileges  = [%q]\n}\n",
			right.name, s.n, at.database, right.kind, right.objects, right.privilege)
	}
	return text.String()
}
