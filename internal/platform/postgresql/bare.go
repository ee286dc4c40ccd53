package postgresql

import "sync"

// bareNames are names of roles of which nothing but the role's own row had to be read when one was last looked for, because there
// was no such role, or it held nothing on any object. Most accounts are like this until they get their first grant. It is a guess
// that saves a round trip when it is right, and costs one when it is wrong. The zero value is ready to use.
type bareNames struct {
	mu    sync.Mutex
	names map[string]struct{}
}

func (b *bareNames) has(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.names[name]
	return ok
}

func (b *bareNames) set(name string, bare bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !bare {
		delete(b.names, name)
		return
	}
	if b.names == nil {
		b.names = make(map[string]struct{})
	}
	b.names[name] = struct{}{}
}
