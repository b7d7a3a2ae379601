package own_test

import (
	"testing"

	"github.com/muster-cip/muster/internal/listtest"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/own"
)

// FuzzRead: any bytes are read or refused, and what is read keeps the rules of the
// model.
func FuzzRead(f *testing.F) {
	listtest.Seeds(f, "own")
	f.Fuzz(func(t *testing.T, data []byte) {
		file := lists.File{Path: "file", Data: data}
		text, err := lists.Text(file)
		if err != nil {
			return
		}
		if ed, err := own.Read(file, text); err == nil {
			listtest.Check(t, ed)
		}
	})
}
