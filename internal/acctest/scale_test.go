package acctest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

const (
	// few and many are the numbers of identities that are refreshed: what a platform is asked for many more of them
	// must be explained by pages alone.
	few, many = 100, 1000

	// hands is how many calls the tests make at once when they prepare accounts by hand.
	hands = 8
)

// bed is a site whose server counts what the provider asks it.
type bed struct {
	*site
	// asked returns how many requests, or SQL statements, the server got since the last call, without those of aside.
	asked func() int
	// page is how many further accounts one request of a sweep brings at least.
	page int
	// each bounds the requests for one account where the kind has no sweep.
	each int
	// aside, if set, returns the requests about groups since the last call of asked, and how many are acceptable.
	aside func() (got, limit int)
	// grow makes accounts until there are n; remove deletes them.
	grow   func(c crowd, n int) error
	remove func(c crowd)
	ids    []string // of the accounts made so far
}

// Cost follows platforms, not identities: refreshing ten times as many asks a platform that can be swept only for more
// pages. A platform without a bulk read is asked a small, fixed number of times per account. To make so many accounts costs
// most of the time: every CLI refreshes the same ones.
func TestRefreshCostsPagesNotIdentities(t *testing.T) {
	if !onlyOnce() {
		return
	}
	beds := []*bed{postgresqlBed(t), vaultBed(t), scimBed(t)}
	c := crowd{stack: unique(t, "stack"), prefix: unique(t, "svc"), beds: beds}
	workspaces := c.workspaces(t)

	c.grow(t, 1)
	for _, w := range workspaces {
		w.Configure(c.hcl(1))
		w.ApplyOnly() // Takes the accounts over by their marks, and so writes the state that is multiplied.
	}
	costs := make(map[string][]int) // by CLI and number of identities
	for _, n := range []int{few, many} {
		c.grow(t, n)
		for cli, w := range workspaces {
			c.multiplyState(t, w, n)
			w.Configure(c.hcl(n))
			for _, b := range beds {
				b.asked()
			}
			w.Plan(exitEmpty)
			for _, b := range beds {
				b.checkAside(n)
				costs[fmt.Sprint(cli, n)] = append(costs[fmt.Sprint(cli, n)], b.asked())
			}
		}
	}
	for cli := range workspaces {
		t.Log(cli)
		for i, b := range beds {
			b.checkCost(costs[fmt.Sprint(cli, few)][i], costs[fmt.Sprint(cli, many)][i])
		}
	}
}

// checkCost compares the requests for few accounts with those for many.
func (b *bed) checkCost(forFew, forMany int) {
	b.t.Helper()
	const others = 5 // What else may differ: a retry.
	grown := forMany - forFew
	b.t.Logf("%s: %d requests for %d accounts, %d for %d", b.spec.Kind, forFew, few, forMany, many)
	if forFew == 0 || forMany == 0 {
		b.t.Fatalf("%s: nothing was counted", b.spec.Kind)
	}
	limit := (many-few+b.page-1)/b.page + others
	if !b.spec.Can(driver.CanSweep) {
		limit = b.each * (many - few)
	}
	if grown > limit {
		b.t.Errorf("%s: %d more accounts cost %d more requests, want at most %d", b.spec.Kind, many-few, grown, limit)
	}
}

// checkAside holds what is asked about groups to a number that does not depend on how many accounts there are.
func (b *bed) checkAside(accounts int) {
	b.t.Helper()
	if b.aside == nil {
		return
	}
	got, limit := b.aside()
	b.t.Logf("%s: %d requests about groups for %d accounts", b.spec.Kind, got, accounts)
	if got > limit {
		b.t.Errorf("%s: %d requests about groups for %d accounts, want at most %d", b.spec.Kind, got, accounts, limit)
	}
}

// postgresqlBed counts statements in the server's log: the provider has an administrator of its own, whose name is on
// each line.
func postgresqlBed(t *testing.T) *bed {
	t.Helper()
	server := testenv.Load(t).PostgreSQL
	s := postgresqlSite(t, "warehouse", "")
	admin, password := strings.ReplaceAll(unique(t, "admin"), "-", "_"), unique(t, "pw")
	s.sql(t, "CREATE ROLE "+admin+" SUPERUSER LOGIN PASSWORD '"+password+"'")
	t.Cleanup(func() { s.sql(t, "DROP ROLE "+admin) })
	block := strings.Replace(s.block(), strconv.Quote(server.Username), strconv.Quote(admin), 1)
	s.block = func() string { return block }
	s.env = []string{"NHI_WAREHOUSE_PASSWORD=" + password}
	statement := regexp.MustCompile(`(?m)^.* ` + admin + `@\S+ LOG:  (statement|execute [^:]*):`)
	log := &logTail{t: t, path: server.LogFile}
	log.read()
	b := &bed{
		site: s, page: many, asked: func() int { return len(statement.FindAll(log.read(), -1)) },
		remove: func(c crowd) { dropRoles(t, c.prefix) },
	}
	b.grow = func(c crowd, n int) error {
		b.ids = append(b.ids, createRoles(t, c.stack, c.prefix, len(b.ids), n)...)
		return nil
	}
	return b
}

// logTail reads what a file got since the last time.
type logTail struct {
	t      *testing.T
	path   string
	offset int64
}

func (l *logTail) read() []byte {
	l.t.Helper()
	f, err := os.Open(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		l.t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		l.t.Fatal(err)
	}
	l.offset += int64(len(text))
	return text
}

func vaultBed(t *testing.T) *bed {
	t.Helper()
	proxy := NewHTTPProxy(t, testenv.Load(t).Vault.Address)
	b := &bed{site: vaultSite(t, "secrets", proxy.URL), asked: proxy.Requests, page: 100, each: 8}
	b.grow = b.growByHand
	b.remove = func(c crowd) {
		b.concurrently(func(i int) { _ = b.hand.DeleteAccount(context.Background(), nhi.Ref{Name: c.name(i)}) })
	}
	return b
}

// scimBed's server gives 100 resources at once, of which the driver spends ten on proving that no resource was lost between
// two pages. Its users show their groups only if they have some, which these have not, and its filter by member fails
// while any group is empty. So the driver reads the list of groups: for each of the single reads that come before a sweep,
// and once for the sweep. One group has a member, as in every real directory: from then on the empty ones need no reads of
// their own.
func scimBed(t *testing.T) *bed {
	t.Helper()
	server := testenv.Load(t).SCIM
	proxy := NewHTTPProxy(t, server.URL)
	var users, groups atomic.Int64
	proxy.Break(func(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) bool {
		if strings.Contains(r.URL.Path, "/Groups") {
			groups.Add(1)
		} else {
			users.Add(1)
		}
		return false
	})
	b := &bed{site: scimSite(t, "sap", proxy.URL), page: 90}
	b.grow = b.growByHand
	b.asked = func() int {
		groups.Store(0)
		return int(users.Swap(0))
	}
	scimMember(t, b, unique(t, "resident"))
	b.aside = func() (int, int) {
		const reads, others = 9, 5 // Each read is the filter, which fails, and the pages. Others: probing, a retry.
		return int(groups.Load()), reads*(1+scimGroups(t, server)/b.page+1) + others
	}
	b.remove = func(crowd) { b.concurrently(func(i int) { scimDelete(t, server, b.ids[i]) }) }
	return b
}

// scimMember makes a user that is the member of a group while the test runs.
func scimMember(t *testing.T, b *bed, name string) {
	t.Helper()
	ref, err := b.hand.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: nhi.Mark{Stack: name, Identity: name}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.hand.DeleteAccount(context.Background(), ref) })
	b.grantByHand(name, b.entitlements[0])
}

// scimGroups returns how many groups the server has.
func scimGroups(t *testing.T, server testenv.SCIM) int {
	t.Helper()
	var list struct {
		TotalResults int `json:"totalResults"`
	}
	if err := json.Unmarshal(scimDo(t, http.MethodGet, server, "/Groups?count=1"), &list); err != nil {
		t.Fatal(err)
	}
	return list.TotalResults
}

// scimDelete deletes a user, without the care that the driver takes.
func scimDelete(t *testing.T, server testenv.SCIM, id string) {
	t.Helper()
	if id != "" {
		scimDo(t, http.MethodDelete, server, "/Users/"+id)
	}
}

func scimDo(t *testing.T, method string, server testenv.SCIM, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, server.URL+path, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+server.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end or not at all
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		t.Errorf("%s %s: %s: %v", method, path, resp.Status, err)
	}
	return body
}

// concurrently calls f for each account made so far.
func (b *bed) concurrently(f func(i int)) {
	var work errgroup.Group
	work.SetLimit(hands)
	for i := range b.ids {
		work.Go(func() error {
			f(i)
			return nil
		})
	}
	_ = work.Wait() // None returns an error.
}

// crowd is many identities with an account on each bed.
type crowd struct {
	stack, prefix string
	beds          []*bed
}

func (c crowd) name(i int) string { return c.prefix + "-" + strconv.Itoa(i) }

// workspaces makes one for each CLI, and lets the crowd go when the test ends.
func (c crowd) workspaces(t *testing.T) map[string]*Workspace {
	t.Helper()
	var env []string
	for _, b := range c.beds {
		env = append(env, b.env...)
		t.Cleanup(func() { b.remove(c) })
	}
	workspaces := make(map[string]*Workspace)
	for cli, path := range cliPaths(t) {
		workspaces[cli] = newWorkspace(t, path, env...)
	}
	return workspaces
}

func (c crowd) hcl(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "provider \"nhi\" {\n  stack = %q\n", c.stack)
	for _, bed := range c.beds {
		b.WriteString(bed.block())
	}
	fmt.Fprintf(&b, "}\n\nresource \"nhi_identity\" \"svc\" {\n  count = %d\n  name  = \"%s-${count.index}\"\n"+
		"  kind  = \"service_account\"\n  owner = \"team@example.com\"\n", n, c.prefix)
	for _, bed := range c.beds {
		fmt.Fprintf(&b, "  account { platform = %q }\n", bed.name)
	}
	b.WriteString("}\n")
	return b.String()
}

// grow makes accounts until there are n on each bed.
func (c crowd) grow(t *testing.T, n int) {
	t.Helper()
	var all errgroup.Group
	for _, b := range c.beds[1:] {
		all.Go(func() error { return b.grow(c, n) })
	}
	err := c.beds[0].grow(c, n) // May end the test, which only this goroutine can.
	if err := errors.Join(err, all.Wait()); err != nil {
		t.Fatal(err)
	}
}

// growByHand makes accounts with the bed's own driver, marked as the provider marks them.
func (b *bed) growByHand(c crowd, n int) error {
	first := len(b.ids)
	b.ids = append(b.ids, make([]string, n-first)...)
	var work errgroup.Group
	work.SetLimit(hands)
	for i := first; i < n; i++ {
		work.Go(func() error {
			mark := nhi.Mark{Stack: c.stack, Identity: c.name(i)}
			ref, err := b.hand.CreateAccount(context.Background(), driver.AccountSpec{Name: c.name(i), Mark: mark})
			b.ids[i] = ref.ID
			return err
		})
	}
	return work.Wait()
}

// stateFile is a state file whose instances can be multiplied.
type stateFile struct {
	Version          int             `json:"version"`
	TerraformVersion string          `json:"terraform_version"`
	Serial           int             `json:"serial"`
	Lineage          string          `json:"lineage"`
	Outputs          json.RawMessage `json:"outputs"`
	Resources        []struct {
		Mode      string                       `json:"mode"`
		Type      string                       `json:"type"`
		Name      string                       `json:"name"`
		Provider  string                       `json:"provider"`
		Instances []map[string]json.RawMessage `json:"instances"`
	} `json:"resources"`
	CheckResults json.RawMessage `json:"check_results"`
}

// multiplyState writes into the state n identities like the first. Terraform itself takes minutes to make so many: it
// writes the whole state after every one.
func (c crowd) multiplyState(t *testing.T, w *Workspace, n int) {
	t.Helper()
	path := filepath.Join(w.dir, "terraform.tfstate")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state stateFile
	if err := json.Unmarshal(content, &state); err != nil {
		t.Fatal(err)
	}
	resource := &state.Resources[0]
	first := resource.Instances[0]
	for i := len(resource.Instances); i < n; i++ {
		resource.Instances = append(resource.Instances, c.likeFirst(first, i))
	}
	if content, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	w.write("terraform.tfstate", string(content))
}

// likeFirst is the first identity's instance with the name, the index and the ids of another.
func (c crowd) likeFirst(first map[string]json.RawMessage, i int) map[string]json.RawMessage {
	pairs := []string{strconv.Quote(c.name(0)), strconv.Quote(c.name(i))}
	for _, b := range c.beds {
		pairs = append(pairs, strconv.Quote(b.ids[0]), strconv.Quote(b.ids[i]))
	}
	replacer := strings.NewReplacer(pairs...)
	out := make(map[string]json.RawMessage, len(first))
	for key, value := range first {
		out[key] = json.RawMessage(replacer.Replace(string(bytes.TrimSpace(value))))
	}
	out["index_key"] = json.RawMessage(strconv.Itoa(i))
	return out
}
