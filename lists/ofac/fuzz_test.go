package ofac_test

import (
	"testing"

	"github.com/muster-cip/muster/internal/listtest"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/ofac"
)

// FuzzRead: any bytes are read or refused, and what is read keeps the rules of the
// model.
func FuzzRead(f *testing.F) {
	listtest.Seeds(f, "ofac-csv")
	listtest.Seeds(f, "ofac-csv-cut")
	listtest.Seeds(f, "ofac-xml")
	f.Fuzz(func(t *testing.T, data []byte) {
		file := lists.File{Path: "file", Data: data}
		text, err := lists.Text(file)
		if err != nil {
			return
		}
		if ed, err := ofac.ReadXML(file, text); err == nil {
			listtest.Check(t, ed)
		}
		for _, part := range []ofac.Part{ofac.Names, ofac.Addresses, ofac.Comments} {
			if ed, err := ofac.ReadCSV(ofac.SDN, ofac.Set{ofac.Primary: file, part: file}); err == nil {
				listtest.Check(t, ed)
			}
		}
	})
}
