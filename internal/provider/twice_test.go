package provider

import (
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// TestTwoObjects: a plan that removes and keeps the same thing is refused in either order, and nothing else is.
func TestTwoObjects(t *testing.T) {
	t.Parallel()
	identity, rotation := identityThing("agent"), rotationThing("agent", "warehouse")
	remove, keep := (*twoObjects).remove, (*twoObjects).keep
	for name, order := range map[string][]func(*twoObjects, thing) error{"removed first": {remove, keep}, "kept first": {keep, remove}} {
		o := newTwoObjects()
		for _, this := range []thing{identity, rotation} {
			if err := order[0](o, this); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, other := range []thing{identityThing("other"), rotationThing("agent", "secrets"), rotationThing("other", "warehouse")} {
			if err := order[1](o, other); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for this, moved := range map[thing]string{identity: "from = nhi_identity.<old>", rotation: "from = nhi_rotation.<old>"} {
			err := order[1](o, this)
			if err == nil || !strings.Contains(err.Error(), moved) || !strings.Contains(err.Error(), "Remove create_before_destroy") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	o := newTwoObjects()
	for range 2 { // a replacement, and a destruction of what is deposed with what is not
		if o.keep(identity) != nil || o.remove(rotation) != nil {
			t.Error("refused")
		}
	}
}

func TestMadeHere(t *testing.T) {
	t.Parallel()
	m := newMadeHere()
	m.created(map[string]lifecycle.Record{"warehouse": {Name: "svc"}})
	m.rotated(rotationThing("agent", "warehouse"))
	for name, err := range map[string]error{
		"account": m.check(map[string]lifecycle.Record{"warehouse": {Name: "svc"}}), "rotation": m.checkRotation(rotationThing("agent", "warehouse")),
	} {
		if err == nil || !strings.Contains(err.Error(), "Nothing was deleted. Remove create_before_destroy") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"account":  m.check(map[string]lifecycle.Record{"warehouse": {Name: "other"}, "secrets": {Name: "svc"}}),
		"rotation": m.checkRotation(rotationThing("agent", "secrets")),
	} {
		if err != nil {
			t.Errorf("another %s: %v", name, err)
		}
	}
}
