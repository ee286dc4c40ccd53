package rotation

import "time"

// end is when the platform ends the credential although the account lives on, zero if it does not.
func (d *decision) end(id string) time.Time {
	for _, c := range d.seen.Credentials {
		if c.ID == id && (d.seen.ExpiresAt.IsZero() || c.ExpiresAt.Before(d.seen.ExpiresAt)) {
			return c.ExpiresAt
		}
	}
	return time.Time{}
}

// expired reports whether the platform has ended the credential.
func (d *decision) expired(id string) bool {
	end := d.end(id)
	return !end.IsZero() && !d.now.Before(end)
}

// ending says that the platform ends the credential, soon or already: it may allow less time than was asked for. A new
// one is needed a whole overlap before that, or half a life where a life is that short.
func (d *decision) ending(c Credential) string {
	end := d.end(c.ID)
	lead := max(0, min(d.Overlap, end.Sub(c.IssuedAt)/2))
	switch {
	case end.IsZero() || d.now.Before(end.Add(-lead)):
		return ""
	case d.now.Before(end):
		return "the platform ends the current credential at " + stamp(end)
	default:
		return "the platform has ended the current credential at " + stamp(end)
	}
}
