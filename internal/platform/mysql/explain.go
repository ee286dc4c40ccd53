package mysql

import (
	"context"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// public is what MariaDB calls the role of everybody.
var public = who{user: "PUBLIC"}

// stepSet begins the step into a role that is not on after login.
const stepSet = "SET ROLE "

// Explain implements driver.Explainer. What a role holds that is not on after login shows by a SET ROLE, unless the account
// has the same from a role that is on.
func (c *client) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	f, err := c.flavorOf(ctx, c.db)
	if err != nil {
		return nil, err
	}
	a, err := c.find(ctx, c.db, f, ref)
	if err != nil {
		return nil, err
	}
	everybody, err := users(ctx, c.db, f, "true")
	if err != nil {
		return nil, err
	}
	held, err := c.holdings(ctx, c.db, f, nil, everybody)
	if err != nil {
		return nil, err
	}
	return explain(f, held, a.direct(held))
}

// ExplainAll implements driver.BulkExplainer: the statements of a sweep.
func (c *client) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	f, accounts, held, err := c.everything(ctx)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(accounts, sweepPage) {
		out := make([]driver.Explained, len(chunk))
		for i, a := range chunk {
			direct := a.direct(held)
			holdings, err := explain(f, held, direct)
			if err != nil {
				return err
			}
			out[i] = driver.Explained{Account: a.whole(direct), Holdings: holdings}
		}
		if err := page(out); err != nil {
			return err
		}
	}
	return nil
}

// holder is what a holding comes from.
type holder struct {
	nhi.Entitlement
	last string
}

func holderOf(h driver.Holding) holder { return holder{h.Entitlement, h.Via[len(h.Via)-1]} }

// explain tells what comes with the roles of an account, and with MariaDB's PUBLIC.
func explain(f flavor, held holdings, direct []nhi.Entitlement) ([]driver.Holding, error) {
	confers := func(e nhi.Entitlement) ([]nhi.Entitlement, error) {
		if e.Type != typeRole {
			return nil, nil
		}
		return held[f.role(e.Target)], nil
	}
	isOff := func(e nhi.Entitlement) bool {
		return e.Type == typeRole && !slices.Contains(direct, nhi.Entitlement{Type: typeDefaultRole, Target: e.Target})
	}
	atOnce, err := driver.Inherit(slices.DeleteFunc(slices.Clone(direct), isOff), confers)
	if err != nil {
		return nil, err
	}
	all, err := driver.Inherit(direct, confers)
	if err != nil {
		return nil, err
	}
	var found []driver.Holding
	on := map[holder]bool{}
	for _, h := range atOnce {
		if len(h.Via) > 0 {
			found, on[holderOf(h)] = append(found, h), true
		}
	}
	for _, h := range all {
		switch {
		case len(h.Via) == 0:
			found = append(found, h)
		case !on[holderOf(h)]: // So the way begins with a role that is off.
			via := slices.Clone(h.Via)
			via[0] = stepSet + strings.TrimPrefix(via[0], typeRole+":")
			found = append(found, driver.Holding{Entitlement: h.Entitlement, Via: via})
		}
	}
	everybodys, err := driver.Inherit(held[public], confers)
	if err != nil {
		return nil, err
	}
	for _, h := range everybodys {
		found = append(found, driver.Holding{Entitlement: h.Entitlement, Via: append([]string{public.user}, h.Via...)})
	}
	return driver.SortHoldings(found), nil
}
