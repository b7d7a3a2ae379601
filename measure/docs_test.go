package measure_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/measure"
)

// The page of the format has every member and every fact, and its example is one.
func TestFormatIsDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/formats/measure.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(ty reflect.Type) {
		for ty.Kind() == reflect.Slice || ty.Kind() == reflect.Pointer {
			ty = ty.Elem()
		}
		if ty.Kind() != reflect.Struct || seen[ty] || ty.PkgPath() != reflect.TypeFor[muster.Determination]().PkgPath() || ty == reflect.TypeFor[muster.Limits]() {
			return
		}
		seen[ty] = true
		for i := range ty.NumField() {
			f := ty.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" || !regexp.MustCompile("`[^`]*\\b"+name+"\\b[^`]*`").MatchString(page) {
				t.Errorf("%s.%s: %q is not on the page", ty.Name(), f.Name, name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[muster.Determination]())
	if len(seen) < 6 {
		t.Errorf("only %d shapes were walked", len(seen))
	}
	for _, by := range muster.MeasureFacts {
		if !strings.Contains(page, "| `"+by+"` |") {
			t.Errorf("the fact %s has no row", by)
		}
	}
	_, block, _ := strings.Cut(page, "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	if _, err := measure.Parse([]byte(block)); err != nil {
		t.Errorf("the page's example: %v", err)
	}
}
