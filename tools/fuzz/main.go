// Command fuzz runs every fuzz target of the provider, one after the other, each for the same time:
//
//	go run ./fuzz -time 1m -run 'Answers|State'
//
// What a target finds stays in its testdata/fuzz, and every later test run tries it again.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

type target struct{ dir, name string }

func main() {
	log.SetFlags(0)
	each := flag.Duration("time", 30*time.Second, "how long each target runs")
	only := flag.String("run", "", "run only targets that match, by directory and name")
	workers := flag.Int("parallel", 1, "how many workers a target has")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		log.Fatal(err)
	}
	targets, err := find(filepath.Join("..", "internal"))
	if err != nil {
		log.Fatal(err)
	}
	var broken []string
	for _, t := range targets {
		if id := t.dir + "." + t.name; wanted.MatchString(id) {
			log.Print("== ", id)
			if err := run(t, *each, *workers); err != nil {
				broken = append(broken, id)
			}
		}
	}
	if len(broken) > 0 {
		log.Fatalf("found something, see its testdata/fuzz: %s", strings.Join(broken, ", "))
	}
}

// find lists the targets below a directory.
func find(root string) ([]target, error) {
	var found []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range declaration.FindAllSubmatch(text, -1) {
			dir, err := filepath.Rel("..", filepath.Dir(path))
			if err != nil {
				return err
			}
			found = append(found, target{dir: filepath.ToSlash(dir), name: string(match[1])})
		}
		return nil
	})
	return found, err
}

func run(t target, each time.Duration, workers int) error {
	cmd := exec.Command("go", "test", "./"+t.dir, "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(),
		"-fuzzminimizetime", "1s", "-parallel", fmt.Sprint(workers)) // Making inputs shorter would take most of the time.
	cmd.Dir, cmd.Stdout, cmd.Stderr = "..", os.Stdout, os.Stderr
	return cmd.Run()
}
