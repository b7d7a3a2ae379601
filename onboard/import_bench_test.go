package onboard_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
)

// BenchmarkImport takes lines of a book in, 2,000 together.
func BenchmarkImport(b *testing.B) {
	x := &bundle{roomtest.Setup(b, roomtest.Options{})}
	r, _, err := x.Onboard.OpenImport(b.Context(), x.Anna, onboard.ImportOrder{Cohort: "all", Due: roomtest.Start, Source: source})
	if err != nil {
		b.Fatal(err)
	}
	people := synthetic.New(1)
	n := 0
	for b.Loop() {
		b.StopTimer()
		var body bytes.Buffer
		for range 2000 {
			for people.Class(n) == synthetic.Invalid {
				n++
			}
			fmt.Fprintln(&body, customerLine(people.Next(n), ""))
			n++
		}
		b.StartTimer()
		out, err := x.Onboard.TakeLines(b.Context(), x.Anna, r.ID, 1, body.Bytes())
		if err != nil || len(out.Refused) > 0 {
			b.Fatal(err, out)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/2000, "µs/line")
}
