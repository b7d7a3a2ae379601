package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// The table's form. A text head (lines, closed by an empty line), then
//
//	u32 nCodes, nCodes × 2 bytes   country codes; code 0 is "  ", unknown
//	u32 n4, n4 × u32 start, n4 × u8 code
//	u32 n6, n6 × u64 start, n6 × u8 code     upper half of the address
//
// all big-endian. A range ends where the next begins.

type network struct {
	prefix netip.Prefix
	code   uint8
}

// ipcountry reads a dump of the IPFire location database. Networks nest; the
// most specific one counts, also where it names no country.
func ipcountry(source string) ([]byte, error) {
	known, err := isoCodes()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(source)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	codes := []string{"  "}
	index := map[string]uint8{"": 0}
	var v4, v6 []network
	var edition, vendor, licence string
	var prefix netip.Prefix
	country := ""
	flush := func() {
		if !prefix.IsValid() {
			return
		}
		if !known[country] { // EU, AP and withdrawn codes say no country
			country = ""
		}
		code, ok := index[country]
		if !ok {
			code = uint8(len(codes))
			codes = append(codes, country)
			index[country] = code
		}
		if prefix.Addr().Is4() {
			v4 = append(v4, network{prefix, code})
		} else if prefix.Bits() <= 64 {
			v6 = append(v6, network{prefix, code})
		}
		prefix, country = netip.Prefix{}, ""
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "# Generated":
			edition = value
		case "# Vendor":
			vendor = value
		case "# License":
			licence = value
		case "net":
			if prefix, err = netip.ParsePrefix(value); err != nil {
				return nil, err
			}
		case "country":
			country = value
		case "":
			flush()
		}
	}
	flush()
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(v4) < 100_000 || len(v6) < 10_000 || edition == "" {
		return nil, fmt.Errorf("%s is no dump of the location database", source)
	}

	var out bytes.Buffer
	fmt.Fprintf(&out, "# IP address ranges to countries.\n# origin: %s location database (https://location.ipfire.org/), Debian package libloc-database\n# edition: %s\n# terms: %s; reduced to ranges of one country. This file stays under those terms; see LICENCES.md\n\n",
		vendor, edition, licence)
	u32 := func(n uint32) { out.Write(binary.BigEndian.AppendUint32(nil, n)) }
	u32(uint32(len(codes)))
	for _, c := range codes {
		out.WriteString(c)
	}
	starts, at := flatten(v4, 32)
	u32(uint32(len(starts)))
	for _, s := range starts {
		u32(uint32(s))
	}
	out.Write(at)
	starts, at = flatten(v6, 64)
	u32(uint32(len(starts)))
	for _, s := range starts {
		out.Write(binary.BigEndian.AppendUint64(nil, s))
	}
	out.Write(at)
	return out.Bytes(), nil
}

// flatten turns nested networks into ranges that follow one another from 0 to
// the end, neighbours of one country joined. width is how many bits count.
func flatten(nets []network, width int) (starts []uint64, codes []byte) {
	type span struct {
		first, last uint64
		code        uint8
	}
	end := uint64(1)<<width - 1
	if width == 64 {
		end = ^uint64(0)
	}
	spans := make([]span, 0, len(nets))
	for _, n := range nets {
		var first uint64
		if width == 32 {
			a := n.prefix.Masked().Addr().As4()
			first = uint64(binary.BigEndian.Uint32(a[:]))
		} else {
			a := n.prefix.Masked().Addr().As16()
			first = binary.BigEndian.Uint64(a[:8])
		}
		size := end >> n.prefix.Bits()
		if n.prefix.Bits() == 64 {
			size = 0
		}
		spans = append(spans, span{first, first + size, n.code})
	}
	slices.SortStableFunc(spans, func(a, b span) int {
		switch {
		case a.first != b.first:
			if a.first < b.first {
				return -1
			}
			return 1
		case a.last > b.last: // the wider first, so that the narrower lies on top
			return -1
		case a.last < b.last:
			return 1
		}
		return 0
	})
	emit := func(start uint64, code uint8) {
		if n := len(starts); n > 0 && starts[n-1] == start {
			codes[n-1] = code
			if n > 1 && codes[n-2] == code {
				starts, codes = starts[:n-1], codes[:n-1]
			}
			return
		} else if n > 0 && codes[n-1] == code {
			return
		}
		starts, codes = append(starts, start), append(codes, code)
	}
	emit(0, 0)
	var open []span
	closeBefore := func(first uint64, all bool) {
		for len(open) > 0 {
			top := open[len(open)-1]
			if !all && top.last >= first {
				return
			}
			open = open[:len(open)-1]
			if top.last == end {
				continue
			}
			under := uint8(0)
			if len(open) > 0 && open[len(open)-1].last > top.last {
				under = open[len(open)-1].code
			} else if len(open) > 0 {
				continue // the one below ends at the same place and is closed next
			}
			emit(top.last+1, under)
		}
	}
	for _, s := range spans {
		closeBefore(s.first, false)
		emit(s.first, s.code)
		open = append(open, s)
	}
	closeBefore(0, true)
	return starts, codes
}

// isoCodes are the codes an answer may have: those of the committed table.
func isoCodes() (map[string]bool, error) {
	table, err := os.ReadFile("tables/countries.txt")
	if err != nil {
		return nil, fmt.Errorf("make countries first: %w", err)
	}
	codes := map[string]bool{"XK": true}
	for line := range strings.Lines(string(table)) {
		if !strings.HasPrefix(line, "#") {
			codes[strings.TrimSpace(line)] = true
		}
	}
	return codes, nil
}
