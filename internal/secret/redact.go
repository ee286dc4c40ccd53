package secret

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
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

// Add makes the redactor replace the text of v, as it is and as it looks escaped in a URL, in JSON, or quoted by Go.
// Texts shorter than four bytes are left alone.
func (r *Redactor) Add(values ...Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		text := v.Reveal()
		if len(text) < minRedacted {
			continue
		}
		for _, form := range forms(text) {
			if !slices.Contains(r.known, form) {
				r.known = append(r.known, form)
			}
		}
	}
}

// forms lists the spellings in which text may turn up in a message.
func forms(text string) []string {
	all := []string{text, url.QueryEscape(text), url.PathEscape(text), url.UserPassword("", text).String()[1:]}
	quoted := strconv.Quote(text)
	all = append(all, quoted[1:len(quoted)-1])
	for _, escapeHTML := range []bool{true, false} {
		var b strings.Builder
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(escapeHTML)
		if encoder.Encode(text) == nil {
			encoded := strings.TrimSuffix(b.String(), "\n")
			all = append(all, encoded[1:len(encoded)-1])
		}
	}
	return all
}

// Redact returns message with every known secret replaced by Masked. Secrets that overlap in message are replaced
// together, so that nothing of either stays.
func (r *Redactor) Redact(message string) string {
	var out strings.Builder
	end := 0 // of what was written or replaced
	for _, s := range r.spans(message) {
		if s.to <= end {
			continue
		}
		if s.from >= end {
			out.WriteString(message[end:s.from])
			out.WriteString(Masked)
		}
		end = s.to
	}
	return out.String() + message[end:]
}

// span is a part of a message.
type span struct{ from, to int }

// spans finds every occurrence of a known secret, in the order of the message.
func (r *Redactor) spans(message string) []span {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var found []span
	for _, text := range r.known {
		for from := 0; ; {
			i := strings.Index(message[from:], text)
			if i < 0 {
				break
			}
			found = append(found, span{from + i, from + i + len(text)})
			from += i + 1
		}
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	return found
}
