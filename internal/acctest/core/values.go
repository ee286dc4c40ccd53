package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// resolver says what is known by now.
type resolver struct {
	// resource returns the value of a resource that is referred to.
	resource func(address string) tftypes.Value
	// applying makes Later known.
	applying bool
}

// blockValue builds the value of a block. Like core it has no null where a block could be repeated.
func blockValue(b *tfprotov6.SchemaBlock, body Body, resolve resolver) tftypes.Value {
	values := make(map[string]tftypes.Value)
	for _, a := range b.Attributes {
		values[a.Name] = attributeValue(a.ValueType(), body[a.Name], resolve)
	}
	for _, nested := range b.BlockTypes {
		values[nested.TypeName] = nestedValue(nested, body[nested.TypeName], resolve)
	}
	for name := range body {
		if _, known := values[name]; !known {
			panic(fmt.Sprintf("there is no argument %q", name))
		}
	}
	return tftypes.NewValue(b.ValueType(), values)
}

func nestedValue(b *tfprotov6.SchemaNestedBlock, body any, resolve resolver) tftypes.Value {
	switch body := body.(type) {
	case Body:
		return blockValue(b.Block, body, resolve)
	case []Body:
		values := make([]tftypes.Value, len(body))
		for i, one := range body {
			values[i] = blockValue(b.Block, one, resolve)
		}
		return tftypes.NewValue(b.ValueType(), values)
	default:
		if b.Nesting == tfprotov6.SchemaNestedBlockNestingModeSingle {
			return tftypes.NewValue(b.ValueType(), nil)
		}
		return tftypes.NewValue(b.ValueType(), []tftypes.Value{})
	}
}

func attributeValue(t tftypes.Type, v any, resolve resolver) tftypes.Value {
	switch v := v.(type) {
	case nil, string, bool:
		return tftypes.NewValue(t, v)
	case int:
		return tftypes.NewValue(t, int64(v))
	case []string:
		return tftypes.NewValue(t, each(v, func(one string) tftypes.Value { return tftypes.NewValue(tftypes.String, one) }))
	case map[string]string:
		values := make(map[string]tftypes.Value, len(v))
		for key, one := range v {
			values[key] = tftypes.NewValue(tftypes.String, one)
		}
		return tftypes.NewValue(t, values)
	case map[string][]string:
		values := make(map[string]tftypes.Value, len(v))
		for key, one := range v {
			values[key] = attributeValue(elementType(t), one, resolve)
		}
		return tftypes.NewValue(t, values)
	case Body:
		values := make(map[string]tftypes.Value, len(v))
		for name, of := range objectType(t).AttributeTypes {
			values[name] = attributeValue(of, v[name], resolve)
		}
		return tftypes.NewValue(t, values)
	case Ref:
		return converted(resolve.resource(string(v)), t)
	case Later:
		if !resolve.applying {
			return tftypes.NewValue(t, tftypes.UnknownValue)
		}
		return tftypes.NewValue(t, string(v))
	default:
		panic(fmt.Sprintf("a value of type %T", v))
	}
}

func elementType(t tftypes.Type) tftypes.Type {
	if m, ok := t.(tftypes.Map); ok {
		return m.ElementType
	}
	panic(fmt.Sprintf("%s is no map", t))
}

func objectType(t tftypes.Type) tftypes.Object {
	if object, ok := t.(tftypes.Object); ok {
		return object
	}
	panic(fmt.Sprintf("%s is no object", t))
}

func each[T, V any](list []T, f func(T) V) []V {
	out := make([]V, len(list))
	for i, one := range list {
		out[i] = f(one)
	}
	return out
}

// converted makes an object fit an object type with fewer attributes, as core does where a whole resource is given.
func converted(v tftypes.Value, t tftypes.Type) tftypes.Value {
	object, ok := t.(tftypes.Object)
	if !ok || v.IsNull() || !v.IsKnown() {
		return tftypes.NewValue(t, nil)
	}
	all, some := attributes(v), make(map[string]tftypes.Value)
	for name := range object.AttributeTypes {
		some[name] = all[name]
	}
	return tftypes.NewValue(t, some)
}

// attributes returns those of an object, or the elements of a map; none if it is null or unknown.
func attributes(v tftypes.Value) map[string]tftypes.Value {
	out := make(map[string]tftypes.Value)
	if !v.IsNull() && v.IsKnown() {
		must(v.As(&out))
	}
	return maps.Clone(out) // As shares the value's own map
}

func elements(v tftypes.Value) []tftypes.Value {
	var out []tftypes.Value
	if !v.IsNull() && v.IsKnown() {
		must(v.As(&out))
	}
	return out
}

// must is for conversions that the types rule out to fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func null(t tftypes.Type) tftypes.Value { return tftypes.NewValue(t, nil) }

func dynamic(v tftypes.Value) *tfprotov6.DynamicValue {
	d, err := tfprotov6.NewDynamicValue(v.Type(), v)
	must(err)
	return &d
}

// Plain turns a value into what encoding/json makes of it: nil, bool, string, json.Number, []any and map[string]any. An
// unknown value becomes Unknown.
func Plain(v tftypes.Value) any {
	switch {
	case !v.IsKnown():
		return Unknown
	case v.IsNull():
		return nil
	}
	switch t := v.Type(); {
	case t.Is(tftypes.String):
		var text string
		must(v.As(&text))
		return text
	case t.Is(tftypes.Bool):
		var b bool
		must(v.As(&b))
		return b
	case t.Is(tftypes.Number):
		var n big.Float
		must(v.As(&n))
		return json.Number(n.Text('f', -1))
	case t.Is(tftypes.List{}), t.Is(tftypes.Set{}), t.Is(tftypes.Tuple{}):
		return each(elements(v), Plain)
	default:
		out := make(map[string]any)
		for name, one := range attributes(v) {
			out[name] = Plain(one)
		}
		return out
	}
}

// Unknown stands for a value that is known after the apply.
const Unknown = "(known after apply)"

func encoded(v tftypes.Value) []byte {
	text, err := json.Marshal(Plain(v))
	must(err)
	return text
}

// incompatible lists where actual is not what planned has promised.
func incompatible(at string, planned, actual tftypes.Value) []string {
	switch {
	case !planned.IsKnown():
		return nil
	case planned.IsFullyKnown():
		if planned.Equal(actual) {
			return nil
		}
		return []string{fmt.Sprintf("%s was planned as %v and is %v", at, Plain(planned), Plain(actual))}
	case planned.IsNull() != actual.IsNull() || !actual.IsKnown():
		return []string{fmt.Sprintf("%s was planned as %v and is %v", at, Plain(planned), Plain(actual))}
	}
	switch t := planned.Type(); {
	case t.Is(tftypes.Object{}), t.Is(tftypes.Map{}):
		before, after := attributes(planned), attributes(actual)
		var out []string
		for _, name := range slices.Sorted(maps.Keys(before)) {
			now, there := after[name]
			if !there {
				out = append(out, fmt.Sprintf("%s.%s was planned and is gone", at, name))
				continue
			}
			out = append(out, incompatible(at+"."+name, before[name], now)...)
		}
		for name := range after {
			if _, planned := before[name]; !planned {
				out = append(out, fmt.Sprintf("%s.%s was not planned", at, name))
			}
		}
		return out
	case t.Is(tftypes.List{}):
		before, after := elements(planned), elements(actual)
		if len(before) != len(after) {
			return []string{fmt.Sprintf("%s was planned with %d elements and has %d", at, len(before), len(after))}
		}
		var out []string
		for i := range before {
			out = append(out, incompatible(fmt.Sprintf("%s[%d]", at, i), before[i], after[i])...)
		}
		return out
	default:
		if len(elements(planned)) < len(elements(actual)) {
			return []string{fmt.Sprintf("%s was planned with %d elements and has %d", at, len(elements(planned)), len(elements(actual)))}
		}
		return nil
	}
}

// proposed is what core proposes: the configuration, and for what it leaves open and the provider computes, what was
// there before.
func proposed(b *tfprotov6.SchemaBlock, prior, config tftypes.Value) tftypes.Value {
	before, values := attributes(prior), attributes(config)
	for _, a := range b.Attributes {
		if old, ok := before[a.Name]; ok && a.Computed && values[a.Name].IsNull() {
			values[a.Name] = old
		}
	}
	return tftypes.NewValue(b.ValueType(), values)
}

// misplanned lists where a plan departs from the configuration although it must not.
func misplanned(b *tfprotov6.SchemaBlock, prior, config, planned tftypes.Value) []string {
	before, want, got := attributes(prior), attributes(config), attributes(planned)
	var out []string
	for name := range want {
		i := slices.IndexFunc(b.Attributes, func(a *tfprotov6.SchemaAttribute) bool { return a.Name == name })
		switch {
		case want[name].Equal(got[name]):
		case i >= 0 && b.Attributes[i].Computed && want[name].IsNull():
		case i >= 0 && !want[name].IsNull() && len(before) > 0 && before[name].Equal(got[name]):
		default:
			out = append(out, fmt.Sprintf("%s is configured as %v and planned as %v", name, Plain(want[name]), Plain(got[name])))
		}
	}
	slices.Sort(out)
	return out
}
