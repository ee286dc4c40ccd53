package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-log/tflog"
	"github.com/hashicorp/terraform-plugin-log/tflogtest"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// canary is easy to find in its usual disguises.
const canary = "canary-7f3a"

// disguises are the ways in which fmt could print the canary: text, hexadecimal, quoted bytes, numbers.
var disguises = []string{
	canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("%# x", canary),
	strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]"),
}

func checkHidden(t *testing.T, how, text string) {
	t.Helper()
	for _, disguise := range disguises {
		if strings.Contains(text, disguise) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
}

// holder has a Value in every place where a printer may find one.
type holder struct {
	Exported   secret.Value
	unexported secret.Value
	Pointer    *secret.Value
	Any        any
	Slice      []secret.Value
	Map        map[string]secret.Value
	secret.Value
}

func hiding() map[string]any {
	v := secret.New(canary)
	h := holder{
		Exported: v, unexported: v, Pointer: &v, Any: v, Slice: []secret.Value{v}, Map: map[string]secret.Value{"k": v}, Value: v,
	}
	type plain struct {
		A secret.Value
		b secret.Value
		P *secret.Value
	}
	return map[string]any{
		"value": v, "pointer": &v, "struct": h, "struct pointer": &h, "plain": plain{v, v, &v}, "slice": h.Slice, "map": h.Map,
		"array": [1]secret.Value{v}, "nested": map[string]any{"k": []any{&h, plain{v, v, &v}}}, "method value": v.String,
	}
}

func TestValueIsNotPrinted(t *testing.T) {
	for name, v := range hiding() {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3", "+#"} {
				format := "%" + flags + string(verb)
				checkHidden(t, name+" "+format, fmt.Sprintf(format, v))
			}
		}
		checkHidden(t, name+" Sprintln", fmt.Sprintln(v))
		checkHidden(t, name+" error", fmt.Errorf("refused: %v", v).Error())
		checkHidden(t, name+" joined error", errors.Join(fmt.Errorf("a %+v", v)).Error())
	}
	for _, verb := range []string{"%v", "%s", "%q", "%x", "%d", "%+v", "%#v", "%10s"} {
		if got := fmt.Sprintf(verb, secret.New(canary)); got != secret.Masked {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestValueIsNotEncoded(t *testing.T) {
	for name, v := range hiding() {
		if text, err := json.Marshal(v); err == nil {
			checkHidden(t, name+" json", string(text))
		}
		if text, err := xml.Marshal(v); err == nil {
			checkHidden(t, name+" xml", string(text))
		}
		var out strings.Builder
		if template.Must(template.New("").Parse("{{.}} {{printf \"%#v\" .}}")).Execute(&out, v) == nil {
			checkHidden(t, name+" template", out.String())
		}
	}
	text, err := json.Marshal(map[string]any{"v": secret.New(canary), "p": &holder{}})
	if err != nil || !strings.Contains(string(text), `"v":"(secret)"`) {
		t.Errorf("json: %s, %v", text, err)
	}
}

func TestValueIsNotLogged(t *testing.T) {
	for name, v := range hiding() {
		var out bytes.Buffer
		ctx := tflogtest.RootLogger(t.Context(), &out)
		tflog.Error(ctx, "call", map[string]any{"field": v})
		tflog.Error(tflog.SetField(ctx, "field", v), fmt.Sprint(v))
		for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
			logger.Info("call", "field", v, slog.Group("g", "field", v), slog.Any("any", v))
		}
		if out.Len() == 0 {
			t.Fatal("nothing was logged")
		}
		checkHidden(t, name+" log", out.String())
	}
}

func TestValueIsNotDumped(t *testing.T) {
	for name, v := range hiding() {
		if name == "method value" {
			continue // functions are not compared
		}
		checkHidden(t, name+" diff", cmp.Diff(v, any(nil)))
	}
	a := map[string]secret.Value{"k": secret.New(canary)}
	diff := cmp.Diff(a, map[string]secret.Value{"k": secret.New("another")})
	if diff == "" {
		t.Error("two texts are equal")
	}
	checkHidden(t, "diff", diff)
	if diff := cmp.Diff(a, map[string]secret.Value{"k": secret.New(canary)}); diff != "" {
		t.Errorf("one text differs from itself: %s", diff)
	}
}

func TestValue(t *testing.T) {
	v, zero := secret.New(canary), secret.Value{}
	if v.Reveal() != canary || zero.Reveal() != "" || v.IsZero() || !zero.IsZero() || !secret.New("").IsZero() {
		t.Error("the text is not what it was made of")
	}
	if !v.Equal(secret.New(canary)) || v.Equal(zero) || v.Equal(secret.New(canary+"x")) || !zero.Equal(secret.New("")) {
		t.Error("Equal is wrong")
	}
	if v.String() != secret.Masked || v.GoString() != secret.Masked || zero.String() != secret.Masked || v.LogValue().String() != secret.Masked {
		t.Error("not masked")
	}
}
