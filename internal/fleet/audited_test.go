package fleet

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// evidence is a sink in memory.
type evidence struct {
	mu     sync.Mutex
	events []audit.Event
	fail   error
}

func (e *evidence) Deliver(_ context.Context, event audit.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail == nil {
		e.events = append(e.events, event)
	}
	return e.fail
}

func (e *evidence) Close() error { return nil }

// take returns the events since the last call.
func (e *evidence) take() []audit.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.events
	e.events = nil
	return out
}

// evidenced connects to a driver so that all changes are evidenced in the sink.
func evidenced(t *testing.T, d driver.Driver, required bool, change func(*Config)) (*Conn, *evidence) {
	t.Helper()
	p, _ := newTestPlatform(d, change)
	sink := &evidence{}
	trail := audit.NewTrail(audit.Source{}, audit.Config{Sinks: []audit.NamedSink{{Name: "siem", Sink: sink}}, Required: required}, time.Now)
	f := &Fleet{platforms: map[string]*Platform{p.Name(): p}}
	conn, err := f.Under(trail.Open(audit.Operation{}, nil)).Connect(t.Context(), p.Name(), "")
	if err != nil {
		t.Fatal(err)
	}
	return conn, sink
}

// capable is able with every other capability.
type capable struct{ able }

func (d capable) Issue(ctx context.Context, _ nhi.Ref, r driver.IssueRequest) (driver.Issued, error) {
	return driver.Issued{Credential: nhi.Credential{ID: "c-1", Label: r.Label}, Secret: secret.New("canary-issued")}, d.step(ctx, "issue")
}

func (d capable) Verify(ctx context.Context, _ string, _ secret.Value) error {
	return d.step(ctx, "verify")
}

func (d capable) GetSecret(ctx context.Context, _ string) (driver.StoredSecret, error) {
	return driver.StoredSecret{}, d.step(ctx, "get")
}

func (d capable) PutSecret(ctx context.Context, _ string, _ driver.StoredSecret) (int64, error) {
	return 1, d.step(ctx, "put")
}

func (d capable) RemoveSecret(ctx context.Context, _ string) error {
	return d.step(ctx, "remove secret")
}

func (d capable) MintToken(ctx context.Context, _ nhi.Ref) (driver.Token, error) {
	return driver.Token{Secret: secret.New("canary-token")}, d.step(ctx, "mint")
}

func (d capable) RevokeToken(ctx context.Context, _ secret.Value) error {
	return d.step(ctx, "revoke token")
}

// stepKinds reads from the source of package reconcile which steps there are, so that a new one cannot be forgotten.
func stepKinds(t *testing.T) []reconcile.StepKind {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../reconcile/account.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []reconcile.StepKind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); ok && of.Name == "StepKind" {
			text, _ := spec.Values[0].(*ast.BasicLit)
			kinds = append(kinds, reconcile.StepKind(strings.Trim(text.Value, `"`)))
		}
		return true
	})
	return kinds
}

// Every step and every other way to change a platform is evidenced, as an activity of its own.
func TestEveryChangeIsEvidenced(t *testing.T) {
	d := capable{able{bare{newScript(account("1", nhi.Mark{}))}}}
	conn, sink := evidenced(t, d, false, nil)
	ctx := t.Context()
	ways := map[audit.Activity]func() error{
		audit.CreateAccount: func() error {
			_, err := conn.Create(ctx, driver.AccountSpec{Name: "x"})
			return err
		},
		audit.IssueCredential: func() error {
			_, err := conn.Issue(ctx, ref, driver.IssueRequest{Label: "label"})
			return err
		},
		audit.StoreSecret: func() error {
			_, err := conn.PutSecret(ctx, "kv/x", driver.StoredSecret{Fields: map[string]secret.Value{"secret": secret.New("canary-stored")}})
			return err
		},
		audit.RemoveSecret: func() error { return conn.RemoveSecret(ctx, "kv/x") },
		audit.MintToken: func() error {
			_, err := conn.MintToken(ctx, ref)
			return err
		},
		audit.RevokeToken: func() error { return conn.RevokeToken(ctx, ref, secret.New("canary-token")) },
	}
	kinds := stepKinds(t)
	for _, kind := range kinds {
		if activity(kind) == "" {
			t.Errorf("the step %q has no activity", kind)
		}
		ways[activity(kind)] = func() error { return conn.Do(ctx, ref, reconcile.Step{Kind: kind}) }
	}
	if len(kinds) < 8 || len(ways) != len(kinds)+6 {
		t.Errorf("%d steps, %d activities: %v", len(kinds), len(ways), kinds)
	}
	for _, activity := range audit.Activities() {
		if ways[activity] == nil {
			t.Errorf("nothing does %q", activity)
			continue
		}
		if err := ways[activity](); err != nil {
			t.Fatal(err)
		}
		events := sink.take()
		if len(events) != 2 || events[0].Outcome != audit.Intended || events[1].Outcome != audit.Succeeded {
			t.Errorf("%s: %+v", activity, events)
			continue
		}
		for _, e := range events {
			store := activity == audit.StoreSecret || activity == audit.RemoveSecret
			if e.Activity != activity || e.Platform.Name != "crm" || e.Platform.Target != "t-1" || (e.Account.Name == "") != store || (e.Path != "") != store {
				t.Errorf("%s: %+v", activity, e)
			}
		}
	}
}

// The methods by which a driver changes something are known, and each was seen to be evidenced above.
func TestDriverMethodsAreKnown(t *testing.T) {
	reading := []string{"Probe", "ReadAccount", "Classify", "Close", "Sweep", "Slots", "Verify", "GetSecret", "ListAccounts", "Explain", "ExplainAll"}
	writing := []string{
		"CreateAccount", "UpdateAccount", "DeleteAccount", "Grant", "Revoke", "Suspend", "Resume", "EndSessions", "Issue", "RevokeCredential",
		"PutSecret", "RemoveSecret", "MintToken", "RevokeToken",
	}
	for _, contract := range []reflect.Type{
		reflect.TypeFor[driver.Driver](), reflect.TypeFor[driver.Suspender](), reflect.TypeFor[driver.Sweeper](), reflect.TypeFor[driver.Issuer](),
		reflect.TypeFor[driver.Verifier](), reflect.TypeFor[driver.Lister](), reflect.TypeFor[driver.Explainer](), reflect.TypeFor[driver.BulkExplainer](), reflect.TypeFor[driver.SessionEnder](), reflect.TypeFor[driver.SecretStore](), reflect.TypeFor[driver.TokenMinter](),
	} {
		for i := range contract.NumMethod() {
			name := contract.Method(i).Name
			if slices.Contains(reading, name) == slices.Contains(writing, name) {
				t.Errorf("%s.%s: does it change something? If so it needs an activity, and a place in TestEveryChangeIsEvidenced", contract.Name(), name)
			}
		}
	}
}

// Of an answer that was lost nobody knows what it would have said.
func TestUnansweredChange(t *testing.T) {
	for code, want := range map[driver.Code]audit.Outcome{
		driver.Unavailable: audit.Unknown, driver.Unknown: audit.Unknown,
		driver.PermissionDenied: audit.Failed, driver.RateLimited: audit.Failed, driver.Invalid: audit.Failed, driver.Conflict: audit.Failed,
	} {
		d := able{bare{newScript()}}
		conn, sink := evidenced(t, d, false, nil)
		d.on = func(context.Context, string, int) error { return driver.Errorf(code, "no") }
		err := conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepSuspend})
		if events := sink.take(); err == nil || len(events) != 2 || events[1].Outcome != want || events[1].Error != err.Error() {
			t.Errorf("%s: %+v, want %s", code, events, want)
		}
	}
}

// TestUnansweredAttempt: what was sent once and not answered may have been made, whatever a repetition is told; what was never sent
// was not.
func TestUnansweredAttempt(t *testing.T) {
	for _, code := range []driver.Code{driver.RateLimited, driver.PermissionDenied, driver.Unauthenticated, driver.Conflict} {
		d := able{bare{newScript()}}
		conn, sink := evidenced(t, d, false, nil)
		d.on = func(_ context.Context, _ string, call int) error {
			if call == 1 {
				return driver.Errorf(driver.Unavailable, "504")
			}
			return driver.Errorf(code, "no")
		}
		wantCode(t, conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepSuspend}), code)
		if events := sink.take(); len(events) != 2 || events[1].Outcome != audit.Unknown {
			t.Errorf("%s: %+v", code, events)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		d := able{bare{newScript()}}
		conn, sink := evidenced(t, d, false, func(c *Config) { c.Options.RequestsPerMinute = 1 })
		if err := conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepSuspend}); err != nil {
			t.Fatal(err)
		}
		sink.take()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantCode(t, conn.Do(ctx, ref, reconcile.Step{Kind: reconcile.StepSuspend}), driver.Unavailable)
		if events := sink.take(); d.count("suspend") != 1 || len(events) != 2 || events[1].Outcome != audit.Failed {
			t.Errorf("%d calls, %+v", d.count("suspend"), events)
		}
	})
}

// A change is one, however often it is tried, and its error is redacted.
func TestRetriesAreOneChange(t *testing.T) {
	d := able{bare{newScript()}}
	conn, sink := evidenced(t, d, false, func(c *Config) { c.Secrets = []secret.Value{secret.New("canary-admin")} })
	d.on = func(_ context.Context, _ string, call int) error {
		if call < 3 {
			return driver.Errorf(driver.Unavailable, "later")
		}
		return nil
	}
	if err := conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepSuspend}); err != nil {
		t.Fatal(err)
	}
	if events := sink.take(); d.count("suspend") != 3 || len(events) != 2 || events[1].Outcome != audit.Succeeded {
		t.Errorf("%d calls, events %+v", d.count("suspend"), events)
	}
	d.on = func(context.Context, string, int) error {
		return driver.Errorf(driver.PermissionDenied, "no right for canary-admin")
	}
	err := conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepDelete})
	wantCode(t, err, driver.PermissionDenied)
	events := sink.take()
	if len(events) != 2 || events[1].Outcome != audit.Failed || events[1].Error != err.Error() || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v, events %+v", err, events)
	}
	d.on = func(context.Context, string, int) error { panic("canary-admin") }
	err = conn.Do(t.Context(), ref, reconcile.Step{Kind: reconcile.StepResume})
	if events := sink.take(); err == nil || len(events) != 2 || events[1].Outcome != audit.Unknown || strings.Contains(events[1].Error, "canary") {
		t.Errorf("error %v, events %+v", err, events)
	}
}

// With evidence required, a sink that does not acknowledge keeps the platform from being touched.
func TestRequiredEvidence(t *testing.T) {
	d := capable{able{bare{newScript()}}}
	conn, sink := evidenced(t, d, true, nil)
	sink.fail = errors.New("503")
	_, err := conn.Create(t.Context(), driver.AccountSpec{Name: "x"})
	wantCode(t, err, driver.Unavailable)
	for _, part := range []string{`platform "crm": create account "x"`, `the audit sink "siem" did not acknowledge`, "nothing was changed", "503"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %v lacks %q", err, part)
		}
	}
	if d.count("create") != 0 {
		t.Error("the account was created")
	}
}

// Grants and revocations tell what the account held before and holds after, as far as this operation has read it.
func TestBeforeAndAfter(t *testing.T) {
	holds := func(texts ...string) (es []nhi.Entitlement) {
		for _, text := range texts {
			es = append(es, nhi.Entitlement{Type: "role", Target: text})
		}
		return es
	}
	a := account("1", nhi.Mark{})
	a.Entitlements, a.Credentials = holds("a", "b"), []nhi.Credential{{ID: "c-1", Label: "label-1"}}
	d := able{bare{newScript(a)}}
	conn, sink := evidenced(t, d, false, nil)
	grant := reconcile.Step{Kind: reconcile.StepGrant, Entitlements: holds("c")}
	revoke := reconcile.Step{Kind: reconcile.StepRevoke, Entitlements: holds("a")}
	do := func(step reconcile.Step, before, after string) {
		t.Helper()
		if err := conn.Do(t.Context(), a.Ref, step); err != nil {
			t.Fatal(err)
		}
		e := sink.take()[1]
		if diff := cmp.Diff([]string{before, after}, []string{strings.Join(e.Before, " "), strings.Join(e.After, " ")}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.Kind, diff)
		}
	}
	do(grant, "", "role:c")
	do(revoke, "role:a", "")
	if _, err := conn.ReadNow(t.Context(), a.Ref); err != nil {
		t.Fatal(err)
	}
	do(grant, "role:a role:b", "role:a role:b role:c")
	do(revoke, "role:a role:b role:c", "role:b role:c")
	if err := conn.Do(t.Context(), a.Ref, reconcile.Step{Kind: reconcile.StepRevokeCredential, Credential: "c-1"}); err != nil {
		t.Fatal(err)
	}
	if e := sink.take()[1]; e.Credential != "label-1" || e.Account.ID != "1" {
		t.Errorf("%+v", e)
	}
	if d.count("read") != 1 {
		t.Errorf("%d reads", d.count("read"))
	}
}

// Reading leaves no evidence.
func TestReadingIsNoChange(t *testing.T) {
	d := capable{able{bare{newScript(account("1", nhi.Mark{}))}}}
	conn, sink := evidenced(t, d, true, nil)
	sink.fail = errors.New("503")
	_, read := conn.ReadNow(t.Context(), ref)
	_, get := conn.GetSecret(t.Context(), "kv/x")
	verify := conn.Verify(t.Context(), "x", secret.New("y"))
	if err := errors.Join(get, verify); err != nil || driver.CodeOf(read) == driver.Unavailable || len(sink.take()) > 0 {
		t.Error(read, err)
	}
}

// TestMayPutSecret: finding out whether a secret may be written is no change, and needs nobody to take evidence.
func TestMayPutSecret(t *testing.T) {
	d := capable{able{bare{newScript()}}}
	conn, sink := evidenced(t, d, true, nil)
	sink.fail = errors.New("503")
	for _, answer := range []driver.Code{driver.Conflict, driver.PermissionDenied, driver.NotFound} {
		d.on = func(context.Context, string, int) error { return driver.Errorf(answer, "no") }
		err := conn.MayPutSecret(t.Context(), "kv/x", driver.StoredSecret{})
		if may := answer == driver.Conflict; may != (err == nil) || !may && driver.CodeOf(err) != answer {
			t.Errorf("the store answers %s: %v", answer, err)
		}
	}
	sink.fail = nil
	if left := conn.journal.Close(t.Context()); len(left.Waiting) > 0 || len(sink.take()) > 0 {
		t.Errorf("there is evidence of no change: %v", left.Waiting)
	}
}
