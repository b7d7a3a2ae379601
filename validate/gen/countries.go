package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// countries reads tzdata's iso3166.tab (public domain): code, tab, name.
func countries(dir string) ([]byte, error) {
	tab, err := os.ReadFile(filepath.Join(dir, "iso3166.tab"))
	if err != nil {
		return nil, err
	}
	edition := "unknown"
	if zi, err := os.ReadFile(filepath.Join(dir, "tzdata.zi")); err == nil {
		first, _, _ := strings.Cut(string(zi), "\n")
		edition = strings.TrimPrefix(first, "# version ")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# ISO 3166-1 alpha-2 codes.\n# origin: iso3166.tab of the IANA time zone database\n# edition: tzdata %s\n# terms: public domain\n", edition)
	n := 0
	for line := range strings.Lines(string(tab)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		code, _, ok := strings.Cut(line, "\t")
		if !ok || len(code) != 2 {
			return nil, fmt.Errorf("iso3166.tab: not a row: %q", line)
		}
		fmt.Fprintln(&out, code)
		n++
	}
	if n < 240 {
		return nil, fmt.Errorf("iso3166.tab: only %d rows", n)
	}
	return out.Bytes(), nil
}
