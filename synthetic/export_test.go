package synthetic

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/muster-cip/muster"
)

// Blocks are the address ranges of the words, for the test that looks them up.
func Blocks() map[muster.Country][]string {
	out := map[muster.Country][]string{}
	all, err := readWords(wordsText)
	if err != nil {
		panic(err)
	}
	for _, c := range all {
		for _, b := range c.blocks {
			a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, b.base)))
			out[c.code] = append(out[c.code], fmt.Sprintf("%s/%d", a, bits.LeadingZeros32(b.mask)))
		}
	}
	return out
}

// Phones are n telephone numbers of each form in the words.
func Phones(n int) map[string][]string {
	out := map[string][]string{}
	all, err := readWords(wordsText)
	if err != nil {
		panic(err)
	}
	p := New(0)
	for _, c := range all {
		for _, form := range c.phones {
			for i := range n {
				d := p.dice(i)
				out[form] = append(out[form], string(d.digits(form)))
			}
		}
	}
	return out
}
