package register_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/register"
)

// BenchmarkPreview prints what an account costs in a preview: read, opened, matched,
// and where it matches decided twice.
func BenchmarkPreview(b *testing.B) {
	r := &bundle{roomtest.Setup(b, roomtest.Options{})}
	const accounts = 8000
	for i := range accounts {
		p := roomtest.Person(fmt.Sprintf("acct-%d", i))
		if i%50 != 0 {
			p.Customer.Nationalities, p.Customer.Address.Country, p.Access.IP, p.Payment.Country = nil, "KE", "5.9.120.33", "KE"
		}
		r.Apply(p)
	}
	b.ResetTimer()
	for b.Loop() {
		start := time.Now()
		p, err := r.Register.Preview(b.Context(), r.Anna.Operator, register.MeasureDraft{Source: text("m-1"), List: 100})
		if err != nil || p.Accounts != accounts || p.Touched != accounts/50 {
			b.Fatalf("%+v, %v", p, err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/accounts, "µs/account")
	}
}
