package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// entitlementFunction spells an entitlement.
type entitlementFunction struct{}

func newEntitlementFunction() function.Function { return entitlementFunction{} }

// The positions of the arguments of entitlementFunction.
const (
	argType int64 = iota
	argTarget
	argPermission
)

func (entitlementFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "entitlement"
}

func (entitlementFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "The canonical text of an entitlement",
		MarkdownDescription: "Puts the canonical text of an entitlement together, `type:target` or `type:target#permission`, and checks it as " +
			"the platforms with that type would. Which of them it is for, and whether the target exists, is checked by the plan.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "type", MarkdownDescription: "The type, for example `table`. The guide of each kind lists them."},
			function.StringParameter{Name: "target", MarkdownDescription: "The platform's own name, in its own spelling, for example `finance.invoices`."},
			function.StringParameter{
				Name: "permission", AllowNullValue: true,
				MarkdownDescription: "The permission, for example `select`. `\"\"` or `null` for types that have none; OpenTofu (1.12 and " +
					"before) cannot pass `null` to a provider's function.",
			},
		},
		Return: function.StringReturn{},
	}
}

// Run implements function.Function.
func (entitlementFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var e nhi.Entitlement
	var permission *string
	resp.Error = req.Arguments.Get(ctx, &e.Type, &e.Target, &permission)
	if resp.Error != nil {
		return
	}
	if permission != nil {
		e.Permission = *permission
	}
	if at, err := checkEntitlement(e); err != nil {
		resp.Error = function.NewArgumentFuncError(at, err.Error())
		return
	}
	resp.Error = resp.Result.Set(ctx, e.String())
}

// checkEntitlement returns what is wrong with an entitlement, and with which argument, unless a kind of platform has it.
func checkEntitlement(e nhi.Entitlement) (int64, error) {
	rows := typesNamed(e.Type)
	if len(rows) == 0 {
		return argType, unknownType(e.Type)
	}
	takes := slices.ContainsFunc(rows, takesPermission)
	switch {
	case takes && e.Permission == "" && !slices.ContainsFunc(rows, func(t nhi.EntitlementType) bool { return !takesPermission(t) }):
		return argPermission, fmt.Errorf("the type %q needs a permission, as in %q", e.Type, rows[0].Example)
	case !takes && e.Permission != "":
		return argPermission, fmt.Errorf("the type %q has no permission, as in %q; write \"\"", e.Type, rows[0].Example)
	case strings.Contains(e.Permission, "#"):
		return argPermission, errors.New(`a permission has no "#"`)
	}
	parsed, err := parseAnywhere(e.String())
	switch {
	case err != nil && permissionIsWrong(rows, e.Permission):
		return argPermission, err
	case err == nil && parsed != e:
		return argTarget, fmt.Errorf("%q would be read as the target %q with the permission %q", e, parsed.Target, parsed.Permission)
	}
	return argTarget, err
}

// permissionIsWrong reports whether no row has the permission.
func permissionIsWrong(rows []nhi.EntitlementType, permission string) bool {
	return !slices.ContainsFunc(rows, func(t nhi.EntitlementType) bool {
		return t.FreePermission && permission != "" || slices.Contains(t.Permissions, permission) || !takesPermission(t) && permission == ""
	})
}

func takesPermission(t nhi.EntitlementType) bool { return t.FreePermission || len(t.Permissions) > 0 }

// typesNamed lists the rows of all kinds for a type.
func typesNamed(name string) []nhi.EntitlementType {
	var rows []nhi.EntitlementType
	for _, spec := range Specs() {
		for _, t := range spec.Grammar.Types {
			if t.Name == name {
				rows = append(rows, t)
			}
		}
	}
	return rows
}

func unknownType(name string) error {
	var all []string
	for _, spec := range Specs() {
		for _, t := range spec.Grammar.Types {
			all = append(all, t.Name)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	hint := ""
	if near, ok := nhi.Nearest(name, all); ok {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("no kind of platform has the type %q%s (known types: %s)", name, hint, strings.Join(all, ", "))
}

// parseAnywhere reads a canonical text as the first kind of platform does that accepts it. If none does, the error is of
// one that has the type.
func parseAnywhere(text string) (nhi.Entitlement, error) {
	typeName, _, found := strings.Cut(text, ":")
	if !found {
		return nhi.Entitlement{}, fmt.Errorf("%q is not an entitlement: write type:target or type:target#permission", text)
	}
	if len(typesNamed(typeName)) == 0 {
		return nhi.Entitlement{}, unknownType(typeName)
	}
	var refused error
	for _, spec := range Specs() {
		if !slices.ContainsFunc(spec.Grammar.Types, func(t nhi.EntitlementType) bool { return t.Name == typeName }) {
			continue
		}
		e, err := spec.Grammar.Find(text)
		if err == nil {
			return e, nil
		}
		if refused == nil {
			refused = err
		}
	}
	return nhi.Entitlement{}, refused
}

// parseFunction takes the text of an entitlement apart.
type parseFunction struct{}

func newParseFunction() function.Function { return parseFunction{} }

func (parseFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "parse_entitlement"
}

// parsedEntitlement is what parseFunction returns.
type parsedEntitlement struct {
	Type       string  `tfsdk:"type"`
	Target     string  `tfsdk:"target"`
	Permission *string `tfsdk:"permission"`
}

func (parseFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "The parts of an entitlement",
		MarkdownDescription: "Takes the canonical text of an entitlement apart, as the platforms with its type do: the first `:` ends the type, " +
			"and in types that have a permission the last `#` begins it. The result has `type`, `target` and `permission`, which is `null` " +
			"where there is none. What can only be listed is taken apart, too.",
		Parameters: []function.Parameter{
			function.StringParameter{Name: "text", MarkdownDescription: "The canonical text, for example `table:finance.invoices#select`."},
		},
		Return: function.ObjectReturn{AttributeTypes: map[string]attr.Type{
			"type": types.StringType, "target": types.StringType, "permission": types.StringType,
		}},
	}
}

// Run implements function.Function.
func (parseFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var text string
	resp.Error = req.Arguments.Get(ctx, &text)
	if resp.Error != nil {
		return
	}
	e, err := parseAnywhere(text)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	parsed := parsedEntitlement{Type: e.Type, Target: e.Target}
	if e.Permission != "" {
		parsed.Permission = &e.Permission
	}
	resp.Error = resp.Result.Set(ctx, parsed)
}
