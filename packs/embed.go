// Package packs holds the policy packs that the program carries: YAML, and
// nothing that reads it.
//
// Rules of this room:
//   - One file, one edition of one pack. It imports nothing of Muster's own.
//   - A pack here is never edited once an edition was released: a new edition
//     replaces it, and the old one's decisions stay in policy/testdata/golden.
package packs

import "embed"

// FS holds every embedded pack as <id>.yaml.
//
//go:embed *.yaml
var FS embed.FS

// Default is the id of the pack that decides where nothing else is configured.
const Default = "us-iaas-cip"

// Source is the bytes of the embedded pack of that id.
func Source(id string) ([]byte, bool) {
	b, err := FS.ReadFile(id + ".yaml")
	return b, err == nil
}
