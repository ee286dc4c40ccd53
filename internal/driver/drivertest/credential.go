package drivertest

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var canLogIn = []driver.Capability{driver.CanIssue, driver.CanVerify}

// credentialCases are about Issuer and Verifier.
var credentialCases = []testCase{
	{name: "credential/works", needs: canLogIn, run: credentialWorks},
	{name: "credential/wrong_secret", needs: canLogIn, run: credentialWrongSecret},
	{name: "credential/two", needs: canLogIn, run: credentialTwo},
	{name: "credential/over_slots", needs: canLogIn, run: credentialOverSlots},
	{name: "credential/revoke_twice", needs: []driver.Capability{driver.CanIssue}, run: credentialRevokeTwice},
	{name: "credential/dies_with_account", needs: canLogIn, run: credentialDiesWithAccount},
	{name: "credential/not_printed", needs: []driver.Capability{driver.CanIssue}, run: credentialNotPrinted},
}

// lagStep is how often a login is tried that may still succeed for a while.
const lagStep = time.Second / 2

// maxSlots is up to how many credentials the suite fills all slots.
const maxSlots = 10

// label returns a label that nobody used before.
func label() string { return "conf-" + strings.ToLower(rand.Text()[:10]) }

// issue makes a credential.
func (k *kit) issue(ref nhi.Ref) driver.Issued {
	k.Helper()
	want := label()
	issued, err := as[driver.Issuer](k).Issue(k.ctx, ref, driver.IssueRequest{Label: want})
	if err != nil {
		k.Fatalf("issue a credential for %q: %v", ref.Name, err)
	}
	if issued.Secret.IsZero() || issued.Login == "" || issued.Credential.ID == "" {
		k.Fatalf("issued %+v, want a secret, a login and an id", issued)
	}
	k.remember(issued.Secret)
	return issued
}

func (k *kit) revokeCredential(ref nhi.Ref, id string) {
	k.Helper()
	if err := as[driver.Issuer](k).RevokeCredential(k.ctx, ref, id); err != nil {
		k.Fatalf("revoke credential %q of %q: %v", id, ref.Name, err)
	}
}

func (k *kit) wantLogin(issued driver.Issued) {
	k.Helper()
	if err := as[driver.Verifier](k).Verify(k.ctx, issued.Login, issued.Secret); err != nil {
		k.Fatalf("login of %q: %v", issued.Login, err)
	}
}

// wantNoLogin gives the platform the time that its kind says it needs to notice.
func (k *kit) wantNoLogin(issued driver.Issued) {
	k.Helper()
	err := as[driver.Verifier](k).Verify(k.ctx, issued.Login, issued.Secret)
	for end := time.Now().Add(k.spec.RevocationLag); err == nil && time.Now().Before(end); {
		time.Sleep(lagStep)
		err = as[driver.Verifier](k).Verify(k.ctx, issued.Login, issued.Secret)
	}
	k.wantCode(err, "login of "+issued.Login, driver.Unauthenticated)
}

// wantCredentials checks which credentials the account has, in this order, beyond those it began with.
func (k *kit) wantCredentials(began nhi.Account, issued ...driver.Issued) {
	k.Helper()
	want, got := credentialTexts(began.Credentials), credentialTexts(k.read(began.Ref).Credentials)
	for _, i := range issued {
		want = append(want, credentialTexts([]nhi.Credential{i.Credential})...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		k.Fatalf("credentials of %q (-want +got):\n%s", began.Name, diff)
	}
}

func credentialTexts(cs []nhi.Credential) []string {
	texts := []string{}
	for _, c := range cs {
		texts = append(texts, fmt.Sprintf("id %q label %q", c.ID, c.Label))
	}
	return texts
}

func credentialWorks(k *kit) {
	account := k.create()
	want := label()
	issued, err := as[driver.Issuer](k).Issue(k.ctx, account.Ref, driver.IssueRequest{Label: want})
	if err != nil {
		k.Fatalf("issue: %v", err)
	}
	k.remember(issued.Secret)
	if issued.Credential.Label != want {
		k.Errorf("label is %q, want %q", issued.Credential.Label, want)
	}
	k.wantLogin(issued)
	k.wantCredentials(account, issued)
	k.grant(account.Ref, k.h.Entitlements(k.T, 1)...)
	k.wantLogin(issued)
	k.wantCredentials(account, issued)
}

func credentialWrongSecret(k *kit) {
	account, other := k.create(), k.create()
	issued, others := k.issue(account.Ref), k.issue(other.Ref)
	before := k.read(account.Ref)
	for _, wrong := range []driver.Issued{
		{Login: issued.Login, Secret: secret.New("wrong-" + rand.Text())},
		{Login: issued.Login, Secret: secret.New(issued.Secret.Reveal() + "x")},
		{Login: issued.Login, Secret: others.Secret},
		{Login: k.name(), Secret: issued.Secret},
	} {
		k.remember(wrong.Secret)
		k.wantNoLogin(wrong)
	}
	k.wantLogin(issued)
	k.wantSame(before)
}

func credentialTwo(k *kit) {
	if slots := as[driver.Issuer](k).Slots(); slots < 2 {
		k.Logf("accounts have %d slots here", slots)
		return
	}
	account := k.create()
	first := k.issue(account.Ref)
	k.wantLogin(first)
	second := k.issue(account.Ref)
	k.wantLogin(first)
	k.wantLogin(second)
	k.wantCredentials(account, first, second)
	if first.Secret.Equal(second.Secret) {
		k.Error("both credentials have the same secret")
	}
	k.revokeCredential(account.Ref, first.Credential.ID)
	k.wantNoLogin(first)
	k.wantLogin(second)
	k.wantCredentials(account, second)
}

func credentialOverSlots(k *kit) {
	issuer := as[driver.Issuer](k)
	slots := issuer.Slots()
	if slots > maxSlots {
		k.Logf("accounts have %d slots here: too many to fill", slots)
		return
	}
	account := k.create()
	var all []driver.Issued
	for range slots - len(account.Credentials) {
		all = append(all, k.issue(account.Ref))
	}
	before := k.read(account.Ref)
	over, err := issuer.Issue(k.ctx, account.Ref, driver.IssueRequest{Label: label()})
	k.remember(over.Secret)
	k.wantCode(err, fmt.Sprintf("credential %d of %d slots", slots+1, slots), driver.Conflict)
	k.wantSame(before)
	for _, issued := range all {
		k.wantLogin(issued)
	}
	k.revokeCredential(account.Ref, all[0].Credential.ID)
	k.wantNoLogin(all[0])
	k.wantLogin(k.issue(account.Ref))
	k.wantNoLogin(all[0])
}

func credentialRevokeTwice(k *kit) {
	account := k.create()
	issued := k.issue(account.Ref)
	k.revokeCredential(account.Ref, issued.Credential.ID)
	k.wantCredentials(account)
	k.revokeCredential(account.Ref, issued.Credential.ID)
	k.delete(account.Ref)
	k.revokeCredential(account.Ref, issued.Credential.ID)
}

func credentialDiesWithAccount(k *kit) {
	account := k.create()
	issued := k.issue(account.Ref)
	k.wantLogin(issued)
	k.delete(account.Ref)
	k.wantNoLogin(issued)
	again := k.create(func(s *driver.AccountSpec) { s.Name = account.Name })
	k.wantNoLogin(issued)
	k.wantCredentials(again)
}

func credentialNotPrinted(k *kit) {
	account := k.create()
	issued := k.issue(account.Ref)
	k.noSecrets("what Issue returns", issued)
	k.noSecrets("a pointer to what Issue returns", &issued)
	k.read(account.Ref)
	_, err := as[driver.Issuer](k).Issue(k.ctx, nhi.Ref{Name: k.name()}, driver.IssueRequest{Label: label()})
	k.wantCode(err, "issue for an absent account", driver.NotFound)
}
