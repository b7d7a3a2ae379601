package ledger

import (
	"net/netip"
	"os"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/muster-cip/muster"
)

// Countries is the provider's own table of addresses and countries: a file in the
// MaxMind DB format (maxmind.github.io/MaxMind-DB, version 2.0), read whole. It is an
// alternative to the embedded table, whose terms or freshness may not suit.
type Countries struct{ db *maxminddb.Reader }

const maxCountries = 1 << 30

// OpenCountries opens a file whose entries have country.iso_code, or country_code.
func OpenCountries(path string) (*Countries, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCountries {
		return nil, muster.Errorf(muster.CodeTooLarge, "%s is larger than a table of countries may be", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "%s is no MaxMind DB: %w", path, err)
	}
	return &Countries{db}, nil
}

// Country is where a is, "" where the table does not say.
func (c *Countries) Country(a netip.Addr) muster.Country {
	r := c.db.Lookup(a)
	var code string
	for _, path := range [][]any{{"country", "iso_code"}, {"country_code"}} {
		if err := r.DecodePath(&code, path...); err == nil && len(code) == 2 {
			return muster.Country(code)
		}
	}
	return ""
}
