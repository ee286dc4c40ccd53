package rotation

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

var (
	labels = NewLabels("payments", "agent")
	start  = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	hour = time.Hour
	day  = 24 * hour
)

func settings(change ...func(*Settings)) Settings {
	s := Settings{Labels: labels, Every: 30 * day, Overlap: day, Slots: 2}
	for _, f := range change {
		f(&s)
	}
	return s
}

// recorded is the n-th credential with a stage, issued at start.
func recorded(n int, stage Stage) Credential {
	c := Credential{ID: id(n), Label: labels.Label(n), Stage: stage, IssuedAt: start, PromotedAt: start}
	if stage == Previous {
		c.RetireAt = start.Add(day)
	}
	return c
}

func id(n int) string { return "id-" + labels.Label(n) }

func listed(numbers ...int) []nhi.Credential {
	var out []nhi.Credential
	for _, n := range numbers {
		out = append(out, nhi.Credential{ID: id(n), Label: labels.Label(n), CreatedAt: start})
	}
	return out
}

func holds(numbers ...int) []Holding {
	var out []Holding
	for i, n := range numbers {
		h := Holding{Place: string(rune('a' + i))}
		if n > 0 {
			h.Label, h.ID, h.Readable, h.AsDeclared, h.IssuedAt = labels.Label(n), id(n), true, true, start
		}
		out = append(out, h)
	}
	return out
}

// texts writes steps shortly: "issue 2", "deliver 2 to 0".
func texts(p Plan) string {
	var out []string
	for _, s := range p.Steps {
		name := strings.TrimSuffix(strings.TrimPrefix(s.Label, "nhi-"), "-"+labels.owner)
		text := string(s.Kind) + " " + name
		if s.Kind == StepDeliver {
			text += " to " + string(rune('a'+s.Store))
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestNext(t *testing.T) {
	current := Record{recorded(1, Current)}
	both := Record{recorded(1, Previous), recorded(2, Current)}
	unreadable := holds(1, 1)
	unreadable[0].Readable, unreadable[1].Readable = false, false
	forced := settings(func(s *Settings) { s.Forced = true })
	foreign := nhi.Credential{ID: "x", Label: "by-hand"}
	used := func(after time.Duration) []nhi.Credential {
		both := listed(1, 2)
		both[1].LastUsedAt = start.Add(after)
		return both
	}
	none := func(string) bool { return false }
	only := func(n int) func(string) bool { return func(named string) bool { return named == id(n) } }
	twins, twin := append(listed(1), nhi.Credential{ID: "twin", Label: labels.Label(1)}), holds(1)
	twin[0].ID = "twin"
	inPlace, outage := Record{recorded(1, Current)}, settings(func(s *Settings) { s.Slots, s.AllowOutage = 1, true })
	inPlace[0].ID = "client_secret"
	heldInPlace := func(numbers ...int) []Holding {
		stores := holds(numbers...)
		for i := range stores {
			stores[i].ID = "client_secret"
		}
		return stores
	}
	second := []nhi.Credential{{ID: "client_secret", Label: labels.Label(2)}}
	proven := both.Proven(id(2), start.Add(hour))
	for name, c := range map[string]struct {
		record   Record
		seen     Observed
		settings Settings
		shown    func(string) bool
		now      time.Time
		want     string // the steps
		words    string // must be among the words
	}{
		"first": {nil, Observed{Stores: holds(0, 0)}, settings(), nil, start,
			"issue 1, verify 1, deliver 1 to a, deliver 1 to b, promote 1", "there is no credential yet"},
		"not due": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(), nil, start.Add(30*day - 1), "", ""},
		"due": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(), nil, start.Add(30 * day),
			"issue 2, verify 2, deliver 2 to a, promote 2", "due since 2030-01-31T00:00:00Z (issued 2030-01-01T00:00:00Z)"},
		"overdue": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(), nil, start.Add(300 * day),
			"issue 2, verify 2, deliver 2 to a, promote 2", "due since 2030-01-31T00:00:00Z"},
		"clock moved backwards": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(), nil, start.Add(-900 * day), "", ""},
		"never by time": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(func(s *Settings) { s.Every = 0 }), nil,
			start.Add(9000 * day), "", ""},
		"forced": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(func(s *Settings) { s.Forced = true }), nil, start,
			"issue 2, verify 2, deliver 2 to a, promote 2", "rotate_when_changed"},
		"no overlap": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(func(s *Settings) { s.Overlap = 0 }), nil, start.Add(30 * day),
			"issue 2, verify 2, deliver 2 to a, promote 2, revoke 1", "due since"},
		"retire": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(), nil, start.Add(day), "revoke 1",
			"its overlap ended 2030-01-02T00:00:00Z"},
		"retire first where slots are full": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(), nil, start.Add(31 * day),
			"revoke 1, issue 3, verify 3, deliver 3 to a, promote 3", "due since"},
		"retire last where they are not": {both, Observed{Credentials: listed(1, 2), Stores: holds(0)},
			settings(func(s *Settings) { s.Slots = 3 }), nil, start.Add(2 * day),
			"issue 3, verify 3, deliver 3 to a, promote 3, revoke 1", "no store can give the current credential back"},
		"a store was rolled back": {both, Observed{Credentials: listed(1, 2), Stores: holds(2, 1)}, settings(), nil, start.Add(2 * day),
			"verify 2, deliver 2 to b", "it holds " + labels.Label(1)},
		"a store was rolled back, and a rotation is due": {both, Observed{Credentials: listed(1, 2), Stores: holds(2, 1)}, settings(), only(1),
			start.Add(31 * day), "verify 2, deliver 2 to b, revoke 1, issue 3, verify 3, deliver 3 to a, deliver 3 to b, promote 3", "retire " + labels.Label(1)},
		"a store was rolled back, and no plan named the previous one": {both, Observed{Credentials: listed(1, 2), Stores: holds(2, 1)}, settings(), none,
			start.Add(31 * day), "", ""},
		"all stores were rolled back, and there is room": {both, Observed{Credentials: listed(1, 2), Stores: holds(1)},
			settings(func(s *Settings) { s.Slots = 3 }), nil, start.Add(2 * day), "issue 3, verify 3, deliver 3 to a, promote 3", "no store can give"},
		"all stores were rolled back, and there is none": {both, Observed{Credentials: listed(1, 2), Stores: holds(1, 0)}, settings(), none, start.Add(2 * day),
			"verify 1, deliver 1 to b, promote 1", "go back to " + labels.Label(1) + ", which a store holds: no store can give"},
		"all stores were rolled back within the overlap": {both, Observed{Credentials: listed(1, 2), Stores: holds(1)}, forced, none, start.Add(hour),
			"verify 1, promote 1", "go back to"},
		"the current one has expired, and a store was rolled back": {both, Observed{Credentials: []nhi.Credential{listed(1)[0],
			{ID: id(2), Label: labels.Label(2), ExpiresAt: start}}, Stores: holds(2, 1)}, settings(), none, start.Add(2 * day), "verify 1, deliver 1 to a, promote 1",
			"has ended the current"},
		"all stores were rolled back and changed": {both, Observed{Credentials: listed(1, 2), Stores: unreadable}, settings(), nil, start.Add(2 * day),
			"revoke 1, issue 3, verify 3, deliver 3 to a, deliver 3 to b, promote 3", "no store can give"},
		"retirement not shown": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(), func(string) bool { return false },
			start.Add(day), "", ""},
		"interrupted after issuing": {current, Observed{Credentials: listed(1, 2), Stores: holds(1, 1)}, settings(), nil, start.Add(30 * day),
			"revoke 2, issue 3, verify 3, deliver 3 to a, deliver 3 to b, promote 3", "no store can give it back while"},
		"interrupted before it was due again": {current, Observed{Credentials: listed(1, 2), Stores: holds(1, 1)}, settings(), nil, start,
			"revoke 2", "its rotation was interrupted"},
		"interrupted so long ago that it has expired": {current, Observed{Credentials: []nhi.Credential{listed(1)[0],
			{ID: id(2), Label: labels.Label(2), ExpiresAt: start.Add(32 * day)}}, Stores: holds(2, 1)}, settings(), nil, start.Add(32 * day),
			"revoke 2, issue 3, verify 3, deliver 3 to a, deliver 3 to b, promote 3", "while it is valid"},
		"expired": {current, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1), ExpiresAt: start.Add(day)}}, Stores: holds(1)},
			settings(), nil, start.Add(day), "issue 2, verify 2, deliver 2 to a, promote 2", "the platform has ended the current credential at 2030-01-02T00:00:00Z"},
		"expires soon": {current, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1), ExpiresAt: start.Add(9 * day)}}, Stores: holds(1)},
			settings(), nil, start.Add(8 * day), "issue 2, verify 2, deliver 2 to a, promote 2", "the platform ends the current credential at"},
		"does not expire soon": {current, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1), ExpiresAt: start.Add(9 * day)}},
			Stores: holds(1)}, settings(), nil, start.Add(8*day - 1), "", ""},
		"ends with the account": {current, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1), ExpiresAt: start.Add(9 * day)}},
			Stores: holds(1), ExpiresAt: start.Add(9 * day)}, settings(), nil, start.Add(9 * day), "", ""},
		"lives for half an overlap": {current, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1), ExpiresAt: start.Add(12 * hour)}},
			Stores: holds(1)}, settings(), nil, start.Add(6*hour - 1), "", ""},
		"waits for the overlap": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(func(s *Settings) { s.Every = 2 * hour; s.Overlap = hour }),
			nil, start.Add(3 * hour), "", ""},
		"interrupted after the first delivery": {current, Observed{Credentials: listed(1, 2), Stores: holds(2, 1)}, settings(), nil, start.Add(30 * day),
			"verify 2, deliver 2 to b, promote 2", "finish"},
		"interrupted before the record": {current, Observed{Credentials: listed(1, 2), Stores: holds(2, 2)}, settings(), nil, start.Add(30 * day),
			"verify 2, promote 2", "finish"},
		"interrupted after retiring": {current, Observed{Credentials: listed(2), Stores: holds(2)}, settings(), nil, start.Add(30 * day),
			"verify 2, promote 2", "finish"},
		"state lost": {nil, Observed{Credentials: listed(3, 4), Stores: holds(4, 4)}, settings(), nil, start,
			"verify 4, promote 4", "finish"},
		"state lost, and nothing declared holds it": {nil, Observed{Credentials: listed(1), Stores: holds(0)}, settings(), none, start,
			"issue 2, verify 2, deliver 2 to a, promote 2", "keep " + labels.Label(1)},
		"state lost, and refreshed": {Record{{ID: id(1), Label: labels.Label(1), Stage: Previous}}, Observed{Credentials: listed(1), Stores: holds(0)},
			settings(), nil, start, "issue 2, verify 2, deliver 2 to a, promote 2", "keep " + labels.Label(1)},
		"state lost, no overlap": {nil, Observed{Credentials: listed(1), Stores: holds(0)}, settings(func(s *Settings) { s.Overlap = 0 }), none, start,
			"issue 2, verify 2, deliver 2 to a, promote 2", "no store can give back any of the credentials that are there"},
		"state lost, no overlap, and taken over": {nil, Observed{Credentials: listed(1, 2), Stores: holds(2)},
			settings(func(s *Settings) { s.Overlap = 0 }), none, start, "verify 2, promote 2", "keep " + labels.Label(1)},
		"state lost, and nothing declared holds the newest": {nil, Observed{Credentials: listed(4, 3, 5), Stores: holds(4)},
			settings(func(s *Settings) { s.Slots = 3 }), none, start, "verify 4, promote 4", "keep " + labels.Label(5)},
		"state lost, and no slot is free": {nil, Observed{Credentials: listed(10, 9), Stores: holds(0)}, settings(), nil, start,
			"revoke 9, issue 11, verify 11, deliver 11 to a, promote 11", "revoke " + labels.Label(9) + ": no store can give it back, and"},
		"state lost, no slot is free, and the platform tells of uses": {nil, Observed{Credentials: append(used(0)[1:], listed(3)...), Stores: holds(0)},
			settings(), nil, start, "revoke 3, issue 4, verify 4, deliver 4 to a, promote 4", "keep " + labels.Label(2)},
		"no slot is free, and the plan named the one that was used since": {nil, Observed{Credentials: append(used(0)[1:], listed(3)...), Stores: holds(0)},
			settings(), only(2), start, "revoke 2, issue 4, verify 4, deliver 4 to a, promote 4", "keep " + labels.Label(3)},
		"no slot is free, and no plan named any":      {nil, Observed{Credentials: listed(9, 10), Stores: holds(0)}, settings(), none, start, "", ""},
		"no slot is free, and the plan named too few": {nil, Observed{Credentials: listed(1, 2, 3), Stores: holds(0)}, settings(), only(1), start, "", ""},
		"state lost, and there is one slot": {nil, Observed{Credentials: listed(1), Stores: holds(0)},
			settings(func(s *Settings) { s.Slots, s.AllowOutage = 1, true }), nil, start, "revoke 1, issue 2, verify 2, deliver 2 to a, promote 2", "its place"},
		"state lost, and what is there has expired": {nil, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1), ExpiresAt: start}},
			Stores: holds(0)}, settings(), nil, start, "issue 2, verify 2, deliver 2 to a, promote 2, revoke 1", "while it is valid"},
		"state lost, what is there has expired, and no plan named it": {nil, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: labels.Label(1),
			ExpiresAt: start}}, Stores: holds(0)}, settings(), none, start, "issue 2, verify 2, deliver 2 to a, promote 2", "rotate"},
		"the first was recorded, and not delivered": {Record{recorded(1, Pending)}, Observed{Credentials: listed(1), Stores: holds(0)}, settings(), nil,
			start, "issue 2, verify 2, deliver 2 to a, promote 2, revoke 1", "its rotation was interrupted"},
		"another run has issued one since the plan": {current, Observed{Credentials: listed(1, 2), Stores: holds(1)},
			settings(func(s *Settings) { s.Slots = 3 }), none, start.Add(30 * day), "issue 3, verify 3, deliver 3 to a, promote 3", "due since"},
		"another run has issued one since the plan, and there is no overlap": {current, Observed{Credentials: listed(1, 2), Stores: holds(1)},
			settings(func(s *Settings) { s.Slots, s.Overlap = 3, 0 }), none, start.Add(30 * day),
			"issue 3, verify 3, deliver 3 to a, promote 3, revoke 1", "due since"},
		"an interrupted rotation comes before the trigger": {current, Observed{Credentials: listed(1, 2), Stores: holds(2)},
			settings(func(s *Settings) { s.Forced = true }), nil, start, "verify 2, promote 2", "finish"},
		"gone from the platform": {current, Observed{Stores: holds(1)}, settings(), nil, start,
			"issue 2, verify 2, deliver 2 to a, promote 2", "gone from the platform"},
		"a store was emptied": {current, Observed{Credentials: listed(1), Stores: holds(1, 0)}, settings(), nil, start,
			"verify 1, deliver 1 to b", "nothing of this rotation is there"},
		"all stores were changed": {current, Observed{Credentials: listed(1), Stores: unreadable}, settings(), nil, start,
			"issue 2, verify 2, deliver 2 to a, deliver 2 to b, promote 2", "no store can give"},
		"unknown": {current, Observed{Credentials: append(listed(1), foreign), Stores: holds(1)}, settings(), nil, start, "revoke by-hand",
			"revoke x (by-hand): no rotation made this credential"},
		"unknown and not shown": {current, Observed{Credentials: append(listed(1), foreign), Stores: holds(1)}, settings(),
			func(string) bool { return false }, start, "", ""},
		"another stack's": {current, Observed{Credentials: append(listed(1), nhi.Credential{ID: "y", Label: NewLabels("other", "agent").Label(2)}),
			Stores: holds(1)}, settings(), nil, start, "revoke 2-" + NewLabels("other", "agent").owner, "no rotation made"},
		"suspended": {current, Observed{Suspended: true, Stores: holds(1)}, settings(), nil, start.Add(30 * day), "", ""},
		"owed": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(func(s *Settings) { s.Owed = true }), nil, start,
			"issue 2, verify 2, deliver 2 to a, promote 2", "rotate_when_changed"},
		"owed, and waits for a slot": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(func(s *Settings) { s.Owed = true }), nil,
			start.Add(hour), "", ""},
		"in place": {current, Observed{Credentials: listed(1), Stores: holds(1)}, settings(func(s *Settings) { s.Slots, s.AllowOutage = 1, true }), nil,
			start.Add(30 * day), "revoke 1, issue 2, verify 2, deliver 2 to a, promote 2", "due since"},
		"in place, interrupted after revoking": {current, Observed{Stores: holds(1)}, settings(func(s *Settings) { s.Slots, s.AllowOutage = 1, true }), nil,
			start.Add(30 * day), "issue 2, verify 2, deliver 2 to a, promote 2", "gone from the platform"},
		"in place, interrupted after the last delivery": {inPlace, Observed{Credentials: second, Stores: heldInPlace(2, 2)}, outage, none,
			start.Add(30 * day), "verify 2, promote 2", "finish"},
		"in place, interrupted after the first delivery, and not due any more": {inPlace, Observed{Credentials: second, Stores: heldInPlace(2, 1)}, outage, none,
			start, "verify 2, deliver 2 to b, promote 2", "finish"},
		"in place, interrupted before a delivery": {inPlace, Observed{Credentials: second, Stores: heldInPlace(1)}, outage, nil, start,
			"revoke 2, issue 3, verify 3, deliver 3 to a, promote 3", "its rotation was interrupted"},
		"in place, interrupted before a delivery, and no plan named it": {inPlace, Observed{Credentials: second, Stores: heldInPlace(1)}, outage, none, start, "", ""},
		"somebody has changed the label": {current, Observed{Credentials: []nhi.Credential{{ID: id(1), Label: "mine"}}, Stores: holds(1)}, settings(), nil, start,
			"", ""},
		"another run's has the same label, and the stores hold it": {current, Observed{Credentials: twins, Stores: twin}, settings(), none, start,
			"verify 1, promote 1", "finish"},
		"another run's has the same label, and one store holds it": {current, Observed{Credentials: twins, Stores: append(holds(1), twin...)}, settings(), none,
			start, "verify 1, deliver 1 to a, promote 1", "finish"},
		"another run's has the same label, and no store holds it": {current, Observed{Credentials: twins, Stores: holds(1)}, settings(), nil, start,
			"revoke 1", "retire " + labels.Label(1) + ": a newer credential has replaced it"},
		"kept until used": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(func(s *Settings) { s.RequireUse = true }), nil,
			start.Add(2 * day), "", ""},
		"used": {both, Observed{Credentials: used(UseMargin + 1), Stores: holds(2)}, settings(func(s *Settings) { s.RequireUse = true }), nil,
			start.Add(2 * day), "revoke 1", "retire"},
		"used by our proof, which the platform told late": {both, Observed{Credentials: used(UseMargin), Stores: holds(2)},
			settings(func(s *Settings) { s.RequireUse = true }), nil, start.Add(2 * day), "", ""},
		"used by a later proof": {proven, Observed{Credentials: used(hour + UseMargin), Stores: holds(2)},
			settings(func(s *Settings) { s.RequireUse = true }), nil, start.Add(2 * day), "", ""},
		"used after a later proof": {proven, Observed{Credentials: used(hour + UseMargin + 1), Stores: holds(2)},
			settings(func(s *Settings) { s.RequireUse = true }), nil, start.Add(2 * day), "revoke 1", "retire"},
		"waits for use": {both, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(func(s *Settings) { s.RequireUse = true }), nil,
			start.Add(31 * day), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Next(c.record, c.seen, c.settings, c.shown, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if got := texts(p); got != c.want {
				t.Errorf("steps: %s\n want: %s", got, c.want)
			}
			if strings.HasPrefix(name, "another run's") && p.Steps[0].ID != "twin" {
				t.Errorf("the wrong one of the two: %+v", p.Steps)
			}
			words := strings.Join(p.Words, "\n")
			if !strings.Contains(words, c.words) || (c.words == "") != (words == "") {
				t.Errorf("words %q, want %q", words, c.words)
			}
		})
	}
}

// An interrupted rotation is finished whatever asks for another one, which waits, unless it had begun the interrupted one itself.
func TestTriggerWaitsForAnOlderRotation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Settings)
		notes  int
	}{
		"nothing asked":   {func(*Settings) {}, 0},
		"forced":          {func(s *Settings) { s.Forced = true }, 1},
		"owed":            {func(s *Settings) { s.Owed = true }, 1},
		"begun by itself": {func(s *Settings) { s.Forced, s.Begun = true, labels.Label(2) }, 0},
	} {
		p, err := Next(Record{recorded(1, Current)}, Observed{Credentials: listed(1, 2), Stores: holds(2)}, settings(c.change), nil, start)
		if err != nil || texts(p) != "verify 2, promote 2" || len(p.Notes) != c.notes || c.notes > 0 && !strings.Contains(p.Notes[0], "is finished first") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// Where there is no room, and a plan has yet to name what has to go, a rotation waits, whatever asks for it, and says so.
func TestRotationWaitsForAPlan(t *testing.T) {
	forced := settings(func(s *Settings) { s.Forced = true })
	for name, c := range map[string]struct {
		record   Record
		settings Settings
	}{
		"found": {nil, settings()}, "interrupted": {Record{recorded(1, Current)}, forced},
	} {
		seen := Observed{Credentials: listed(1, 2), Stores: holds(1)}
		if c.record == nil {
			seen.Stores = holds(0)
		}
		p, err := Next(c.record, seen, c.settings, func(string) bool { return false }, start)
		if err != nil || len(p.Steps) > 0 || !p.Waits || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "has 2 credentials and can have 2 at once, and "+
			"none is revoked that no plan has named. Plan again") {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if p, err := Next(p.Record, seen, c.settings, nil, start); err != nil || p.Waits || !strings.HasPrefix(texts(p), "revoke ") {
			t.Errorf("%s: the next plan: %+v, %v", name, p, err)
		}
	}
}

func TestImpossible(t *testing.T) {
	both := Record{recorded(1, Previous), recorded(2, Current)}
	full := Observed{Credentials: listed(1, 2), Stores: holds(2)}
	for name, c := range map[string]struct {
		record   Record
		seen     Observed
		settings Settings
		shown    func(string) bool
		want     string
	}{
		"no credentials":        {settings: settings(func(s *Settings) { s.Slots = 0 }), want: "no credentials that could be rotated"},
		"one slot":              {settings: settings(func(s *Settings) { s.Slots = 1 }), want: "allow_outage"},
		"overlap of the period": {settings: settings(func(s *Settings) { s.Overlap = s.Every }), want: "must be shorter"},
		"forced in an overlap": {both, full, settings(func(s *Settings) { s.Forced = true }), nil,
			"has 2 credentials and can have 2 at once: the previous one, " + labels.Label(1) + ", may be retired from 2030-01-02T00:00:00Z"},
		"full of unknown ones, and a store was rolled back": {Record{{ID: id(1), Label: labels.Label(1), Stage: Previous, RetireAt: start}, recorded(2, Current)},
			Observed{Credentials: append(listed(1, 2), nhi.Credential{ID: "x"}), Stores: holds(2, 1)}, settings(func(s *Settings) { s.Every, s.Overlap = hour, 1 }),
			func(named string) bool { return named == id(1) }, "revoke one of them first"},
		"full of unknown ones": {nil, Observed{Credentials: []nhi.Credential{{ID: "x"}, {ID: "y"}}}, settings(), func(string) bool { return false },
			"revoke one of them first"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Next(c.record, c.seen, c.settings, c.shown, start.Add(hour))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A suspended account gets no step, and what waits is said: what was asked for, and what no store holds.
func TestSuspendedAccountsWait(t *testing.T) {
	record := Record{recorded(1, Current)}
	asked := "A rotation waits (rotate_when_changed has changed): the account is suspended."
	for name, c := range map[string]struct {
		stores []Holding
		change func(*Settings)
		want   []string
	}{
		"quiet":         {holds(1), func(*Settings) {}, nil},
		"forced":        {holds(1), func(s *Settings) { s.Forced = true }, []string{asked}},
		"owed":          {holds(1), func(s *Settings) { s.Owed = true }, []string{asked}},
		"not delivered": {holds(1, 0), func(*Settings) {}, []string{"The delivery to b waits: the account is suspended."}},
	} {
		p, err := Next(record, Observed{Suspended: true, Stores: c.stores}, settings(c.change), nil, start.Add(90*day))
		if diff := cmp.Diff(Plan{Record: record, Notes: c.want}, p); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestRecord(t *testing.T) {
	r := Record{recorded(1, Current)}.Issued(nhi.Credential{ID: id(2), Label: labels.Label(2)}, start.Add(hour))
	r = r.Promoted(id(2), start.Add(2*hour), day, start)
	want := Record{
		{ID: id(1), Label: labels.Label(1), Stage: Previous, IssuedAt: start, PromotedAt: start, RetireAt: start.Add(26 * hour)},
		{ID: id(2), Label: labels.Label(2), Stage: Current, IssuedAt: start.Add(hour), PromotedAt: start.Add(2 * hour), UsedAtPromotion: start},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := r.Promoted(id(2), start.Add(9*hour), day, start); again[0].RetireAt != want[0].RetireAt {
		t.Error("promoting again moved the end of an overlap")
	}
	if again := r.Proven(id(2), start.Add(3*hour)).Proven(id(2), start); again[1].UsedAtPromotion != start.Add(3*hour) ||
		again[0] != want[0] || r[1] != want[1] {
		t.Errorf("proven again: %+v", again)
	}
	left := r.Left(id(1), start.Add(25*hour)).Left(id(1), start.Add(99*hour)).Left(id(2), start.Add(99*hour))
	if left[0].RetireAt != start.Add(99*hour) || left[1] != r[1] || r[0].RetireAt != want[0].RetireAt {
		t.Errorf("a store that held it got another one: %+v", left)
	}
	if c, ok := r.Without(id(1)).Current(); !ok || c.ID != id(2) || r.Without(id(1)).Has(id(1)) {
		t.Error("dropping the previous one")
	}
}

func TestLabels(t *testing.T) {
	for label, want := range map[string]int{
		labels.Label(12): 12, labels.Label(0): 0, "": 0, "by-hand": 0, "nhi-01-" + labels.owner: 0, "nhi-x-" + labels.owner: 0,
		NewLabels("payments", "agent2").Label(1): 0, NewLabels("paymentsa", "gent").Label(1): 0,
	} {
		if got, ok := labels.Number(label); got != want && ok || ok != (want > 0) {
			t.Errorf("number of %q: %d %t, want %d", label, got, ok, want)
		}
	}
}
