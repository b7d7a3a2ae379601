package ledger

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
)

// mmdb is a MaxMind DB of one network: 192.0.0.0/2 is in country. It is written from the
// format's specification, so that the test needs no file of anybody's.
func mmdb(entry []byte) []byte {
	// Two nodes of 24-bit records, IPv4. 2 is "nothing here"; data begins 16 past the nodes.
	const nodes = 2
	data := nodes + 16
	record := func(n int) []byte { return []byte{byte(n >> 16), byte(n >> 8), byte(n)} }
	var b bytes.Buffer
	for _, r := range []int{nodes, 1, nodes, data} { // 0: left nothing, right node 1; 1: left nothing, right the entry
		b.Write(record(r))
	}
	b.Write(make([]byte, 16))
	b.Write(entry)
	text := func(s string) { b.WriteByte(2<<5 | byte(len(s))); b.WriteString(s) }
	b.WriteString("\xab\xcd\xefMaxMind.com")
	b.WriteByte(7<<5 | 5) // a map of five
	number := func(name string, control, value byte) { text(name); b.Write([]byte{control, value}) }
	number("node_count", 6<<5|1, nodes)
	number("record_size", 5<<5|1, 24)
	number("ip_version", 5<<5|1, 4)
	number("binary_format_major_version", 5<<5|1, 2)
	text("database_type")
	text("test")
	return b.Bytes()
}

func TestCountriesOfTheProvidersOwnFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, entry := range map[string][]byte{
		"nested": append([]byte{7<<5 | 1, 2<<5 | 7}, append([]byte("country"), append([]byte{7<<5 | 1, 2<<5 | 8}, append([]byte("iso_code"), 2<<5|2, 'D', 'E')...)...)...),
		"flat":   append([]byte{7<<5 | 1, 2<<5 | 12}, append([]byte("country_code"), 2<<5|2, 'D', 'E')...),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, mmdb(entry), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCountries(path)
		if err != nil {
			t.Fatal(err)
		}
		for addr, want := range map[string]muster.Country{"192.0.2.1": "DE", "10.0.0.1": "", "128.0.0.1": "", "2001:db8::1": ""} {
			if got := c.Country(netip.MustParseAddr(addr)); got != want {
				t.Errorf("%s: %s is in %q, want %q", name, addr, got, want)
			}
		}
	}
	path := filepath.Join(dir, "broken")
	if err := os.WriteFile(path, []byte("no such thing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCountries(path); muster.ErrorCode(err) != muster.CodeInvalid {
		t.Error(err)
	}
}
