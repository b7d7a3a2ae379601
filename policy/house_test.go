package policy

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-cip/muster/packs"
)

// regimes are what only a pack may say: a section of the rule, the threshold of
// ownership, a period of retention, a pack's own name.
func regimes() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"a section of the rule":     regexp.MustCompile(`\b7\.3[01]\d\b|\b15 CFR\b|\b791\.\d`),
		"a threshold":               regexp.MustCompile(`\b25(\.0+)? ?(%|per ?cent)|\b25_?000_?000\b`),
		"a period of retention":     regexp.MustCompile(`(?i)\b(\d+|two|five|ten) years?\b|\b180 days\b`),
		"years added to a time":     regexp.MustCompile(`AddDate\([1-9]`),
		"a pack that is no Default": regexp.MustCompile(`"in-cert-in|"dk-domain`),
	}
}

// code is a Go file without its comments, a token a line.
func code(path string) (string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var s scanner.Scanner
	files := token.NewFileSet()
	s.Init(files.AddFile(path, -1, len(src)), src, nil, 0)
	var b strings.Builder
	for {
		_, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return b.String(), nil
		case lit == "" || tok == token.SEMICOLON:
			b.WriteString(tok.String())
		default:
			b.WriteString(" " + lit)
		}
	}
}

func TestNoGoFileSpeaksOfARegime(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.HasPrefix(filepath.ToSlash(path), "../packs/") {
			return nil
		}
		seen++
		text, err := code(path)
		if err != nil {
			return err
		}
		for what, r := range regimes() {
			if m := r.FindString(text); m != "" {
				t.Errorf("%s names %s: %q; that belongs to a pack", path, what, m)
			}
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d files seen: %v", seen, err)
	}
	// The ban can fail: the default pack, which may say all of it, says all but the names.
	src, err := packs.FS.ReadFile(packs.Default + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"a section of the rule", "a threshold", "a period of retention"} {
		if !regimes()[what].MatchString(string(src)) {
			t.Errorf("the search for %s finds nothing even where it is", what)
		}
	}
}
