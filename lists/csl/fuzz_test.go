package csl_test

import (
	"testing"

	"github.com/muster-cip/muster/internal/listtest"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/csl"
)

// FuzzRead: any bytes are read or refused, and what is read keeps the rules of the
// model.
func FuzzRead(f *testing.F) {
	listtest.Seeds(f, "csl")
	listtest.Seeds(f, "csl-2019")
	f.Fuzz(func(t *testing.T, data []byte) {
		file := lists.File{Path: "file", Data: data}
		text, err := lists.Text(file)
		if err != nil {
			return
		}
		eds, err := csl.Read(file, text)
		if err == nil {
			for _, ed := range eds {
				listtest.Check(t, ed)
			}
		}
	})
}
