package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/strictyaml"
)

type form struct {
	Name  string              `yaml:"name"`
	Words []string            `yaml:"words"`
	Times map[string][]string `yaml:"times"`
	Inner *form               `yaml:"inner"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var got form
	if err := strictyaml.Decode([]byte("name: a\nwords: [b]\ninner: {name: c}\n"), &got, "a form"); err != nil || got.Name != "a" || got.Words[0] != "b" || got.Inner.Name != "c" {
		t.Fatalf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"name: a\nnmae: b\n":        "line 2: ",
		"name: a\n\nname: b\n":      "line 3: ",
		"name: a\nwords: b: c\n":    "line 2: ",
		"words: ! ":                 "a form",
		"times: ! ":                 "line 1: ",
		"inner:\n  words: ! \n":     "a form",
		"inner: {inner: {times: 1}": "line 1: ",
	} {
		err := strictyaml.Decode([]byte(text), new(form), "a form")
		if muster.ErrorCode(err) != muster.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "name: a\n", "words: ! ", "times: {a: [b]}\n", "inner: &a {name: x}\ntimes: *a\n", "\xff\xfe", "- a\n", "inner:\n  inner:\n    words: [\"x\"]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := strictyaml.Decode(data, new(form), "a form"); err != nil && muster.ErrorCode(err) != muster.CodeInvalid {
			t.Fatal(err)
		}
	})
}
