package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// story is a sequence of events, told in one clock.
type story struct {
	n      int
	events []audit.Event
}

func (s *story) add(e audit.Event) {
	s.n++
	e.ID, e.Time = fmt.Sprintf("e-%03d", s.n), time.Unix(int64(s.n), 0)
	e.Platform = audit.Platform{Name: "crm", Kind: "scim", Target: "t-1"}
	if e.Path == "" {
		e.Account = audit.Account{Name: "svc"}
	}
	s.events = append(s.events, e)
}

// did adds the events of a change that succeeded.
func (s *story) did(e audit.Event) {
	e.Change = fmt.Sprintf("c-%03d", s.n)
	for _, outcome := range []audit.Outcome{audit.Intended, audit.Succeeded} {
		e.Outcome = outcome
		s.add(e)
	}
}

// unanswered adds the events of a change of which nobody knows what came.
func (s *story) unanswered(e audit.Event) {
	e.Change = fmt.Sprintf("c-%03d", s.n)
	for _, outcome := range []audit.Outcome{audit.Intended, audit.Unknown} {
		e.Outcome = outcome
		s.add(e)
	}
}

func life() *story {
	s := &story{}
	s.did(audit.Event{Activity: audit.CreateAccount})
	s.did(audit.Event{Activity: audit.Grant, Before: []string{"role:old"}, After: []string{"role:a", "role:b", "role:old"}})
	s.did(audit.Event{Activity: audit.Revoke, Before: []string{"role:a", "role:b", "role:old"}, After: []string{"role:b", "role:old"}})
	s.did(audit.Event{Activity: audit.IssueCredential, Credential: "key-1"})
	s.did(audit.Event{Activity: audit.StoreSecret, Path: "kv/svc"})
	return s
}

const lived = `{"version":4,"resources":[
 {"mode":"managed","type":"nhi_identity","name":"x","instances":[{"attributes":{"accounts":{"crm":{"name":"svc","id":"1","target":"t-1","status":"active"}}%s}}]},
 {"mode":"managed","type":"nhi_grant","name":"x","instances":[{"attributes":{"identity":{"name":"agent","account_names":{"crm":"svc"}},
  "entitlements":{"crm":[%s]},"targets":{"crm":"t-1"}}}]},
 {"mode":"managed","type":"nhi_rotation","name":"x","instances":[{"attributes":{"identity":{"name":"svc","account_names":{}},"platform":"crm",
  "credentials":[{"label":"key-1","id":"7"}],"delivered":[{"platform":"vault","path":"kv/svc"}],"targets":{"crm":"t-1","vault":"t-1"}}}]},
 {"mode":"managed","type":"other_thing","name":"x","instances":[{"attributes":{"identity":"of another shape"}}]},
 {"mode":"data","type":"nhi_identity","name":"x","instances":[]}
]}`

func state(t *testing.T, text string) State {
	t.Helper()
	s, err := ReadState(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFindings(t *testing.T) {
	none := `{"version":4,"resources":[]}`
	all := fmt.Sprintf(lived, "", `"role:b","role:old"`)
	for name, test := range map[string]struct {
		change func(s *story)
		state  string
		want   []string
	}{
		"everything matches": {func(*story) {}, all, nil},
		"repeated and out of order": {func(s *story) {
			s.events = append(s.events[3:], s.events...)
		}, all, nil},
		"more access than evidence": {func(*story) {}, fmt.Sprintf(lived, "", `"role:b","role:a","role:x"`), []string{
			`access without evidence: role:a of account "svc" on t-1`, `access without evidence: role:x of account "svc" on t-1`,
		}},
		"no evidence at all": {func(s *story) { s.events = nil }, all, []string{
			`access without evidence: account "svc" on t-1`, `access without evidence: credential key-1 of account "svc" on t-1`,
			`access without evidence: role:b of account "svc" on t-1`, `access without evidence: role:old of account "svc" on t-1`,
			`access without evidence: secret at "kv/svc" on t-1`,
		}},
		"no access at all": {func(*story) {}, none, []string{
			`evidence without access: account "svc" on t-1`, `evidence without access: credential key-1 of account "svc" on t-1`,
			`evidence without access: role:b of account "svc" on t-1`, `evidence without access: secret at "kv/svc" on t-1`,
		}},
		"destroyed": {func(s *story) {
			s.did(audit.Event{Activity: audit.SuspendAccount})
			s.did(audit.Event{Activity: audit.EndSessions})
			s.did(audit.Event{Activity: audit.RemoveSecret, Path: "kv/svc"})
			s.did(audit.Event{Activity: audit.DeleteAccount})
		}, none, nil},
		"registry of clients": {func(s *story) {
			s.did(audit.Event{Activity: audit.StoreSecret, Path: "clients/svc", RegistryOf: "login"})
		}, all, nil},
		"left suspended": {func(s *story) {
			s.did(audit.Event{Activity: audit.RemoveSecret, Path: "kv/svc"})
			s.did(audit.Event{Activity: audit.SuspendAccount})
		}, none, nil},
		"failed": {func(s *story) {
			s.add(audit.Event{Change: "f", Activity: audit.Grant, Outcome: audit.Intended, After: []string{"role:x"}})
			s.add(audit.Event{Change: "f", Activity: audit.Grant, Outcome: audit.Failed, After: []string{"role:x"}})
		}, fmt.Sprintf(lived, "", `"role:b","role:x"`), []string{`access without evidence: role:x of account "svc" on t-1`}},
		"unknown and made": {func(s *story) {
			s.unanswered(audit.Event{Activity: audit.Grant, Before: []string{"role:b", "role:old"}, After: []string{"role:b", "role:old", "role:x"}})
			s.unanswered(audit.Event{Activity: audit.Revoke, Before: []string{"role:b", "role:old"}, After: []string{"role:old"}})
			s.unanswered(audit.Event{Activity: audit.IssueCredential, Credential: "key-2"})
			s.unanswered(audit.Event{Activity: audit.StoreSecret, Path: "kv/other"})
		}, strings.Replace(strings.Replace(fmt.Sprintf(lived, "", `"role:old","role:x"`), `{"label":"key-1","id":"7"}`, `{"label":"key-1"},{"label":"key-2"}`, 1),
			`{"platform":"vault","path":"kv/svc"}`, `{"platform":"vault","path":"kv/svc"},{"platform":"vault","path":"kv/other"}`, 1), nil},
		"unknown and not made": {func(s *story) {
			s.unanswered(audit.Event{Activity: audit.Grant, After: []string{"role:x"}})
			s.unanswered(audit.Event{Activity: audit.Revoke, Before: []string{"role:b"}})
			s.unanswered(audit.Event{Activity: audit.RemoveSecret, Path: "kv/svc"})
			s.unanswered(audit.Event{Activity: audit.DeleteAccount})
		}, all, nil},
		"unknown and deleted": {func(s *story) {
			s.unanswered(audit.Event{Activity: audit.RemoveSecret, Path: "kv/svc"})
			s.unanswered(audit.Event{Activity: audit.DeleteAccount})
		}, none, nil},
		"killed after the intent": {func(s *story) {
			s.add(audit.Event{Change: "k", Activity: audit.Grant, Outcome: audit.Intended, After: []string{"role:x"}})
			s.add(audit.Event{Change: "l", Activity: audit.DeleteAccount, Outcome: audit.Intended})
		}, fmt.Sprintf(lived, "", `"role:b","role:x"`), []string{
			`intent without outcome: delete account of account "svc" on t-1, event e-012 of 1970-01-01T00:00:12Z`,
			`intent without outcome: grant of account "svc" on t-1, event e-011 of 1970-01-01T00:00:11Z`,
		}},
		"waiting in state": {func(s *story) { s.events = s.events[2:] },
			fmt.Sprintf(lived, `,"undelivered":["{\"sink\":\"siem\",\"event\":{\"id\":\"e-000\",\"change\":\"w\",\"time\":\"1970-01-01T00:00:00Z\",`+
				`\"activity\":\"create_account\",\"outcome\":\"succeeded\",\"account\":{\"name\":\"svc\"},\"platform\":{\"target\":\"t-1\"}}}"]`, `"role:b"`),
			[]string{`evidence not delivered: create account of account "svc" on t-1, event e-000 of 1970-01-01T00:00:00Z waits for the sink "siem"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := life()
			test.change(s)
			var got []string
			for _, f := range Run(s.events, []State{state(t, test.state)}) {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadStateRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{`: "no state", `{"version":3}`: "version 3", `{"encrypted_data":"x"}`: "state pull",
		fmt.Sprintf(lived, `,"undelivered":["{"]`, ""): "nhi_identity.x: audit event 1",
	} {
		if _, err := ReadState(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var lines strings.Builder
	for _, e := range life().events {
		e.Stack = "s"
		text, err := ocsf.Encode(ocsf.Default, e)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(text, '\n'))
	}
	events := write("events", lines.String()+"a line of somebody else\n{\"half")
	state := write("state", fmt.Sprintf(lived, "", `"role:b"`))
	empty := write("empty", `{"version":4}`)
	for name, test := range map[string]struct {
		args     []string
		exit     int
		out, err string
	}{
		"matches":       {[]string{"-events", events, "-state", state}, 0, "", "2 lines are no events"},
		"findings":      {[]string{"-events", events, "-state", empty}, 2, "evidence without access: role:b", ""},
		"several":       {[]string{"-events", events, "-events", events, "-state", empty, "-state", state}, 0, "", ""},
		"other stack":   {[]string{"-stack", "t", "-events", events, "-state", empty}, 0, "", ""},
		"nothing given": {nil, 1, "", "at least one file"},
		"no such file":  {[]string{"-events", "nowhere", "-state", state}, 1, "", "nowhere"},
		"no state":      {[]string{"-events", events, "-state", events}, 1, "", "version 0"},
		"bad flag":      {[]string{"-x"}, 1, "", "-x"},
		"stray word":    {[]string{"-events", events, "-state", state, "x"}, 1, "", `"x"`},
	} {
		var out, problems bytes.Buffer
		exit := Command(test.args, &out, &problems)
		if exit != test.exit || !strings.Contains(out.String(), test.out) || !strings.Contains(problems.String(), test.err) || (test.out == "") != (out.Len() == 0) {
			t.Errorf("%s: exit %d, %q, %q", name, exit, out.String(), problems.String())
		}
	}
}
