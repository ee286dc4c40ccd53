package sapbtpfake

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type binding struct {
	ID          string              `json:"id"`
	Ready       bool                `json:"ready"`
	Name        string              `json:"name"`
	InstanceID  string              `json:"service_instance_id"`
	CreatedAt   string              `json:"created_at"`
	Labels      map[string][]string `json:"labels"`
	Parameters  map[string]string   `json:"parameters,omitempty"`
	Credentials map[string]string   `json:"credentials"`
	// going is how many more questions find a binding whose deletion was accepted.
	going int
}

const bindingPage = 10

var labelPattern = regexp.MustCompile(`^([a-z_]+) eq '([^']*)'$`)

// boundLogin reports whether a binding has this login.
func (f *Fake) boundLogin(id, secret string) bool {
	return slices.ContainsFunc(f.bindings, func(b *binding) bool {
		return b.Credentials["clientid"] == id && b.Credentials["clientsecret"] == secret && b.going == 0
	})
}

// refuse answers as the Service Manager does.
func refuse(w http.ResponseWriter, status int, name, description string) {
	write(w, status, map[string]string{"error": name, "description": description})
}

func (f *Fake) manager(w http.ResponseWriter, r *http.Request, path string) {
	id, single := strings.CutPrefix(path, "/v1/service_bindings/")
	switch {
	case path == "/v1/service_bindings" && r.Method == http.MethodGet:
		f.listBindings(w, r)
	case path == "/v1/service_bindings" && r.Method == http.MethodPost:
		f.bind(w, r)
	case single && (r.Method == http.MethodGet || r.Method == http.MethodDelete):
		f.oneBinding(w, r, id)
	default:
		refuse(w, http.StatusNotFound, "NotFound", "no such route")
	}
}

func (f *Fake) listBindings(w http.ResponseWriter, r *http.Request) {
	label := r.URL.Query().Get("labelQuery")
	wanted := labelPattern.FindStringSubmatch(label)
	if label != "" && wanted == nil {
		refuse(w, http.StatusBadRequest, "BadRequest", "unreadable query")
		return
	}
	found := []*binding{}
	for _, b := range f.bindings {
		if wanted == nil || slices.Contains(b.Labels[wanted[1]], wanted[2]) {
			found = append(found, b)
		}
	}
	from := 0
	if token := r.URL.Query().Get("token"); token != "" {
		// The token is the id of the last binding that was shown; what was deleted meanwhile does not shift the rest.
		from = 1 + slices.IndexFunc(found, func(b *binding) bool { return b.CreatedAt == token })
	}
	page := found[from:min(from+bindingPage, len(found))]
	answer := map[string]any{"num_items": len(found), "items": page}
	if from+len(page) < len(found) {
		answer["token"] = page[len(page)-1].CreatedAt
	}
	write(w, http.StatusOK, answer)
}

func (f *Fake) bind(w http.ResponseWriter, r *http.Request) {
	var b binding
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.Name == "" || len(b.Name) > 255 {
		refuse(w, http.StatusBadRequest, "BadRequest", "a binding needs a name")
		return
	}
	if b.InstanceID != f.options.InstanceID || f.options.InstanceID == "" {
		refuse(w, http.StatusNotFound, "NotFound", "could not find such service_instance")
		return
	}
	if slices.ContainsFunc(f.bindings, func(other *binding) bool { return other.Name == b.Name }) {
		refuse(w, http.StatusConflict, "Conflict", "binding with same name exists for instance with id "+b.InstanceID)
		return
	}
	b.ID, b.Ready = newID(), true
	b.CreatedAt = f.now().Format("2006-01-02T15:04:05.000000Z")
	b.Credentials = map[string]string{
		"clientid": "sb-clone-" + b.ID + "!b" + strconv.Itoa(len(f.bindings)) + "|app!t1", "clientsecret": rand.Text() + "$" + rand.Text() + "=",
	}
	f.bindings = append(f.bindings, &b)
	write(w, http.StatusCreated, b)
}

func (f *Fake) oneBinding(w http.ResponseWriter, r *http.Request, id string) {
	i := slices.IndexFunc(f.bindings, func(b *binding) bool { return b.ID == id })
	if i < 0 {
		refuse(w, http.StatusNotFound, "NotFound", "could not find such service_binding")
		return
	}
	b := f.bindings[i]
	if b.going > 0 {
		if b.going--; b.going == 0 {
			f.bindings = slices.Delete(f.bindings, i, i+1)
		}
	}
	switch {
	case r.Method == http.MethodGet:
		write(w, http.StatusOK, b)
	case f.options.AsyncUnbind:
		b.going = 2
		w.Header().Set("Location", "/v1/service_bindings/"+id+"/operations/"+newID())
		write(w, http.StatusAccepted, map[string]any{})
	default:
		f.bindings = slices.Delete(f.bindings, i, i+1)
		write(w, http.StatusOK, map[string]any{})
	}
}
