package synthetic

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
)

//go:embed words.txt
var wordsText string

// word is a name in Latin letters and, where it has another, in its own script.
type word struct{ latin, native string }

type place struct{ locality, region, code string }

// block is a range of addresses: base plus at most mask.
type block struct{ base, mask uint32 }

// country is what an application from there is made of.
type country struct {
	code          muster.Country
	weight        int
	familyFirst   bool
	mononyms      int // one of so many has a single name; 0 none
	phones, ibans []string
	blocks        []block
	given, family []word
	streets       []string
	places        []place
}

// readWords reads words.txt. An error means a damaged build.
func readWords(text string) ([]*country, error) {
	var all []*country
	byCode := map[string]*country{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		code, rest, _ := strings.Cut(line, " ")
		key, values, ok := strings.Cut(rest, " ")
		if !ok {
			return nil, fmt.Errorf("words, line %d: no value", n)
		}
		c := byCode[code]
		if c == nil {
			c = &country{code: muster.Country(code)}
			byCode[code] = c
			all = append(all, c)
		}
		if err := c.read(key, strings.Split(values, "|")); err != nil {
			return nil, fmt.Errorf("words, line %d: %w", n, err)
		}
	}
	for _, c := range all {
		if len(c.phones) == 0 || len(c.blocks) == 0 || len(c.given) == 0 || len(c.family) == 0 || len(c.streets) == 0 || len(c.places) == 0 {
			return nil, fmt.Errorf("words: %s is not complete", c.code)
		}
	}
	return all, nil
}

func (c *country) read(key string, values []string) (err error) {
	switch key {
	case "weight":
		c.weight, err = strconv.Atoi(values[0])
	case "mononyms":
		c.mononyms, err = strconv.Atoi(values[0])
	case "order":
		c.familyFirst = values[0] == "family-first"
	case "phone":
		c.phones = values
	case "iban":
		c.ibans = values
	case "street":
		c.streets = values
	case "given":
		c.given = words(values)
	case "family":
		c.family = words(values)
	case "place":
		for _, v := range values {
			f := strings.Split(v, ";")
			if len(f) != 3 {
				return fmt.Errorf("a place has %d parts", len(f))
			}
			c.places = append(c.places, place{f[0], f[1], f[2]})
		}
	case "ip":
		for _, v := range values {
			p, err := netip.ParsePrefix(v)
			if err != nil || !p.Addr().Is4() {
				return fmt.Errorf("a block of addresses cannot be read")
			}
			b := p.Addr().As4()
			c.blocks = append(c.blocks, block{binary.BigEndian.Uint32(b[:]), 1<<(32-p.Bits()) - 1})
		}
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return err
}

func words(values []string) []word {
	out := make([]word, len(values))
	for i, v := range values {
		out[i].latin, out[i].native, _ = strings.Cut(v, "/")
	}
	return out
}
