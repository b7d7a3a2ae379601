package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// bom writes what one binary is made of, read back from the binary itself, as
// CycloneDX 1.6. It has no serial number, which would have to be random.
func (m *made) bom(arch string) error {
	b := m.binaries[arch]
	licences, err := m.knownLicences()
	if err != nil {
		return err
	}
	own := cdx.Component{
		BOMRef: "muster", Type: cdx.ComponentTypeApplication, Name: b.info.Main.Path, Version: m.Version, Description: summary,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: licence}}}, PackageURL: purl(b.info.Main.Path, "v"+m.Version),
		ExternalReferences: &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: home}},
		Properties:         &[]cdx.Property{{Name: "muster:commit", Value: m.Commit}, {Name: "muster:platform", Value: "linux/" + arch}},
	}
	// Go's own library is a part as any other: its faults are ours.
	library := strings.TrimPrefix(b.info.GoVersion, "go")
	parts := []cdx.Component{{
		BOMRef: purl("std", library), Type: cdx.ComponentTypeLibrary, Name: "std", Version: library, PackageURL: purl("std", library),
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "BSD-3-Clause"}}},
	}}
	refs := []string{parts[0].BOMRef}
	for _, x := range b.modules() {
		c := cdx.Component{
			BOMRef: purl(x.Path, x.Version), Type: cdx.ComponentTypeLibrary, Name: x.Path, Version: x.Version, PackageURL: purl(x.Path, x.Version),
			Properties: &[]cdx.Property{{Name: "go:sum", Value: x.Sum}},
		}
		if known := licences[x.Path]; known != nil {
			c.Licenses = &known
		}
		parts, refs = append(parts, c), append(refs, c.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.SerialNumber, bom.Components = "", &parts
	bom.Metadata = &cdx.Metadata{Timestamp: m.Time.Format("2006-01-02T15:04:05Z"), Component: &own}
	bom.Dependencies = &[]cdx.Dependency{{Ref: own.BOMRef, Dependencies: &refs}}
	return m.write(fmt.Sprintf("%s_%s_linux_%s.cdx.json", name, m.Version, arch), func(w *output) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	})
}

// purl names a Go module (https://github.com/package-url/purl-spec).
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|")

// knownLicences are those that docs/dependencies.md says, by module. Of what those
// need in turn only the text is there, in NOTICES.
func (m *made) knownLicences() (map[string]cdx.Licenses, error) {
	page, err := os.ReadFile(filepath.Join(m.Source, "docs", "dependencies.md"))
	if err != nil {
		return nil, err
	}
	known := map[string]cdx.Licenses{}
	for _, r := range dependencyRow.FindAllStringSubmatch(string(page), -1) {
		for id := range strings.SplitSeq(r[2], ", ") {
			known[r[1]] = append(known[r[1]], cdx.LicenseChoice{License: &cdx.License{ID: strings.TrimSpace(id)}})
		}
	}
	if len(known) < 10 {
		return nil, fmt.Errorf("docs/dependencies.md has only %d rows: it is not read as it should be", len(known))
	}
	return known, nil
}
