package validate

import (
	"net/netip"
	"os"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	c := newChecker(b)
	for _, name := range []string{"complete-individual", "entity-chain", "every-fault"} {
		body, err := os.ReadFile("testdata/golden/" + name + ".json")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Read(body, testNow)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		newChecker(b)
	}
}

func BenchmarkCountry(b *testing.B) {
	l, err := NewLocator()
	if err != nil {
		b.Fatal(err)
	}
	v4, v6 := netip.MustParseAddr("95.165.33.10"), netip.MustParseAddr("2001:41d0:8:5c9a::1")
	b.ReportAllocs()
	for b.Loop() {
		l.Country(v4)
		l.Country(v6)
	}
}
