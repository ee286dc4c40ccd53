package main

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-n", "100,300", "-latency", "0,20ms"})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.sizes) != 2 || o.sizes[1] != 300 || len(o.latencies) != 2 || o.latencies[1] != 20*time.Millisecond || len(o.shapes) != 2 {
		t.Errorf("parsed %+v", o)
	}
	for _, wrong := range [][]string{{"-n", "0"}, {"-n", "many"}, {"-latency", "20"}, {"-rounds", "0"}} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%v: no error", wrong)
		}
	}
}

func TestConfiguration(t *testing.T) {
	at := &site{}
	for _, name := range platformNames {
		at.scim(name, "http://127.0.0.1/scim", token, nil)
	}
	for shape, want := range map[string]string{"identities": "count = 2", "count": "nhi_identity.svc[count.index]", "for_each": "nhi_identity.svc[each.key]"} {
		texts, err := scene{n: 2, shape: shape}.configurations(at)
		if err != nil || len(texts) != 1 {
			t.Fatal(texts, err)
		}
		if text := texts[0]; !strings.Contains(text, want) || strings.Count(text, "account {") != len(platformNames) {
			t.Errorf("%s:\n%s", shape, text)
		}
	}
	if _, err := (scene{n: 2, shape: "rings"}).configurations(at); err == nil {
		t.Error("an unknown shape gives no error")
	}
}

func TestMedianTakesEachFigureByItself(t *testing.T) {
	rounds := [][]cost{{{Wall: 1, CPU: 9}}, {{Wall: 3, CPU: 7}}, {{Wall: 2, CPU: 8}}}
	if got := median(rounds, 0); got.Wall != 2 || got.CPU != 8 {
		t.Errorf("median %+v", got)
	}
}
