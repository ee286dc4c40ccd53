package secret

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// minRedacted is the shortest text that a Redactor replaces: replacing "a" or "1" everywhere would destroy messages
// without hiding anything.
const minRedacted = 4

// Redactor replaces the texts of known secrets in messages that come from elsewhere (a server's error text may repeat
// the request). It is safe for concurrent use. The zero Redactor knows no secret.
type Redactor struct {
	mu    sync.RWMutex
	known []string
}

// Add makes the redactor replace the text of v, as it is and as it looks escaped in a URL. Texts shorter than four
// bytes are left alone.
func (r *Redactor) Add(values ...Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		text := v.Reveal()
		if len(text) < minRedacted {
			continue
		}
		for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text)} {
			if !slices.Contains(r.known, form) {
				r.known = append(r.known, form)
			}
		}
	}
	// Longest first: a secret that contains another one is replaced whole.
	slices.SortFunc(r.known, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// Redact returns message with every known secret replaced by Masked.
func (r *Redactor) Redact(message string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, text := range r.known {
		message = strings.ReplaceAll(message, text, Masked)
	}
	return message
}
