package provider

import (
	"fmt"
	"sync"
)

// thing is what exists once on the platforms, by whatever address a resource means it.
type thing struct {
	// name tells it from all others and reads well, resource is the type of the resources that mean it, what it has.
	name, resource, what string
}

func identityThing(name string) thing {
	return thing{name: fmt.Sprintf("the identity %q", name), resource: "nhi_identity", what: "accounts"}
}

func rotationThing(identity, platform string) thing {
	return thing{
		name:     fmt.Sprintf("the rotation of identity %q on platform %q", identity, platform),
		resource: "nhi_rotation", what: "credentials",
	}
}

// leave says how the old object of two is given up without what both have.
func (t thing) leave() string {
	return fmt.Sprintf("Remove create_before_destroy from this resource and from those that refer to it, take the old object out of state "+
		"with terraform state rm (a deposed one goes with its resource), and apply again: the %s are known to be ours and are taken over. To destroy everything instead, destroy with -refresh=false.", t.what)
}

// twoObjects finds, while one plan is made, what the plan removes as one object and makes or keeps as another: a resource
// that was renamed without a moved block, an object that create_before_destroy has left deposed, or one that is replaced by
// another thing (an identity that gets another name) while another resource takes its place. Terraform takes them for two
// and deletes the one without regard to the other. It sees them in any order; the one that comes second gets the error.
// A replacement is planned with its prior state and as a creation, never as a removal: it removes only what it was, if that
// is not what it becomes. Of one that is tainted Terraform does not show what it was: its plan is that of a creation alone.
type twoObjects struct {
	mu            sync.Mutex
	removed, kept map[string]bool
}

func newTwoObjects() *twoObjects {
	return &twoObjects{removed: make(map[string]bool), kept: make(map[string]bool)}
}

// remove notes that the plan removes an object.
func (o *twoObjects) remove(t thing) error { return o.note(t, o.removed, o.kept) }

// keep notes that the plan makes, changes or keeps an object.
func (o *twoObjects) keep(t thing) error { return o.note(t, o.kept, o.removed) }

func (o *twoObjects) note(t thing, here, there map[string]bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	here[t.name] = true
	if !there[t.name] {
		return nil
	}
	return fmt.Errorf("the plan removes one object that is %[1]s and makes or keeps another one; both have the same %[2]s, so the removal would "+
		"take them from the other. If the resource was renamed or moved, write moved { from = %[3]s.<old>, to = %[3]s.<new> }. "+
		"If count numbers the resources and one was added or removed before others, write for_each instead, with one "+
		"moved { from = %[3]s.<x>[<number>], to = %[3]s.<x>[\"<key>\"] } for each. If one becomes something else and another one takes "+
		"its place, do that in two applies, one after the other. If both objects are in state: %[4]s", t.name, t.what, t.resource, t.leave())
}
