// Command sandboxctl changes a sandbox by hand, as an administrator does with a platform's own tools.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const usage = `usage: sandboxctl <file> <command>

  dump                              print accounts, entitlements and paths of secrets
  create <account> [entitlement...] make an account without an ownership mark
  grant <account> <entitlement>
  revoke <account> <entitlement>
  confer <role> <entitlement>       let everybody in a role or group ("role:x", "group:x") hold something
  suspend <account>
  resume <account>
  delete <account>
  issue <account> <label>           make a credential and print its secret, which is shown this once
  login <account>                   log in with the secret on standard input; exit code 3 if it is refused
`

// exitRefused says that the sandbox refused a login: the question was answered, with no.
const exitRefused = 3

var errUsage = errors.New("usage")

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case err == nil:
		return
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "sandboxctl:", err)
	if driver.CodeOf(err) == driver.Unauthenticated {
		os.Exit(exitRefused)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	if len(args) < 2 {
		return errUsage
	}
	config := sandbox.Config{Path: args[0]}
	admin, err := sandbox.OpenAdmin(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	command, rest := args[1], args[2:]
	if command == "dump" && len(rest) == 0 {
		return admin.Dump(ctx, out)
	}
	if len(rest) == 0 {
		return errUsage
	}
	account, rest := rest[0], rest[1:]
	switch {
	case command == "create":
		return create(ctx, admin, account, rest)
	case command == "confer" && len(rest) == 1:
		return confer(ctx, admin, account, rest[0])
	case command == "issue" && len(rest) == 1:
		return issue(ctx, config, account, rest[0], out)
	case command == "login" && len(rest) == 0:
		return login(ctx, admin, account, in)
	default:
		return change(ctx, admin, command, account, rest)
	}
}

// change runs the commands that are a call of Admin each.
func change(ctx context.Context, admin *sandbox.Admin, command, account string, rest []string) error {
	alone := map[string]func(context.Context, string) error{
		"suspend": admin.Suspend, "resume": admin.Resume, "delete": admin.DeleteAccount,
	}
	withEntitlement := map[string]func(context.Context, string, nhi.Entitlement) error{
		"grant": admin.Grant, "revoke": admin.Revoke,
	}
	if f, ok := alone[command]; ok && len(rest) == 0 {
		return f(ctx, account)
	}
	f, ok := withEntitlement[command]
	if !ok || len(rest) != 1 {
		return errUsage
	}
	e, err := sandbox.Spec().Grammar.Parse(rest[0])
	if err != nil {
		return err
	}
	return f(ctx, account, e)
}

func create(ctx context.Context, admin *sandbox.Admin, account string, texts []string) error {
	holds, problems := sandbox.Spec().ParseAll(texts)
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return admin.CreateForeign(ctx, account, holds...)
}

func confer(ctx context.Context, admin *sandbox.Admin, holder, text string) error {
	parsed, problems := sandbox.Spec().ParseAll([]string{holder})
	held, more := sandbox.Spec().ParseAll([]string{text})
	if err := errors.Join(append(problems, more...)...); err != nil {
		return err
	}
	return admin.Confer(ctx, parsed[0], held[0])
}

func issue(ctx context.Context, config sandbox.Config, account, label string, out io.Writer) (err error) {
	d, err := sandbox.Open(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	issuer, ok := d.(driver.Issuer)
	if !ok {
		return errors.New("the sandbox issues no credentials")
	}
	issued, err := issuer.Issue(ctx, nhi.Ref{Name: account}, driver.IssueRequest{Label: label})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, issued.Secret.Reveal())
	return err
}

func login(ctx context.Context, admin *sandbox.Admin, account string, in io.Reader) error {
	text, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return admin.Login(ctx, account, secret.New(strings.TrimSpace(text)))
}
