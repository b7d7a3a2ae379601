package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The page of the format names every member that the reader takes and every
// variable that a condition may read.
func TestFormatIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/formats/pack.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(string(page), func(r rune) bool {
		return !(r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9')
	}) {
		words[strings.TrimSuffix(w, ".")] = true
	}
	var walk func(reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(ty reflect.Type) {
		for ty.Kind() == reflect.Slice || ty.Kind() == reflect.Map || ty.Kind() == reflect.Pointer {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct || seen[ty] || ty == reflect.TypeFor[Expr]() || ty.PkgPath() != reflect.TypeFor[Document]().PkgPath() {
			return
		}
		seen[ty] = true
		for i := range ty.NumField() {
			f := ty.Field(i)
			tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if !words[tag] {
				t.Errorf("%s.%s: %q is not on the page", ty.Name(), f.Name, tag)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Document]())
	if len(seen) < 15 {
		t.Errorf("only %d shapes were walked", len(seen))
	}
	app, sub, err := environments(PackFormat, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range append(app.Variables(), sub.Variables()...) {
		n := v.Name()
		n = strings.TrimPrefix(strings.TrimPrefix(n, "customer."), "subject.")
		if strings.Contains(v.Name(), ".") || n == v.Name() {
			if !words[n] && !words[v.Name()] && !isType(n) {
				t.Errorf("the variable %s is not on the page", v.Name())
			}
		}
	}
}

// isType reports whether CEL itself declares n.
func isType(n string) bool {
	switch n {
	case "bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type", "uint", "dyn", "any", "optional_type":
		return true
	}
	return strings.HasPrefix(n, "google.protobuf.")
}
