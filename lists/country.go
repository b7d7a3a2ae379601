package lists

import (
	_ "embed"
	"strings"
	"sync"

	"github.com/muster-cip/muster"
)

//go:embed countries.txt
var countryTable string

var countries = sync.OnceValue(func() map[string]muster.Country {
	m := make(map[string]muster.Country, 512)
	for line := range strings.Lines(countryTable) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		code, names, _ := strings.Cut(strings.TrimSpace(line), "|")
		m[strings.ToLower(code)] = muster.Country(code)
		for name := range strings.SplitSeq(names, "|") {
			m[strings.ToLower(name)] = muster.Country(code)
		}
	}
	return m
})

// Country is the code of a country's English name or code; "" where it is none, or
// where the list itself doubts ("possibly Palestinian").
func Country(name string) muster.Country {
	name = strings.ToLower(strings.TrimSuffix(Clean(name), "."))
	if c, ok := countries()[name]; ok {
		return c
	}
	return countries()[strings.TrimPrefix(name, "the ")]
}
