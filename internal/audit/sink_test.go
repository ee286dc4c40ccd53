package audit

import "testing"

// Whoever asks for changes that failed hears of those that may have failed.
func TestFilterOfOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		chosen []Outcome
		want   bool
	}{
		{nil, true}, {[]Outcome{Failed}, true}, {[]Outcome{Intended, Succeeded}, false},
	} {
		if got := (Filter{Outcomes: c.chosen}).Wants(Event{Outcome: Unknown}); got != c.want {
			t.Errorf("a filter of %v chooses an unknown outcome: %v", c.chosen, got)
		}
	}
}
