package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
)

func TestClocksApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := Config{Mode: muster.ModeSandbox, Listen: "127.0.0.1:0", Origin: "apart.example/log"}
	for name, at := range map[string]*string{"data.dsn": &conf.Database, "keys.dsn": &conf.KeyDatabase} {
		*at = filepath.Join(dir, name)
		if err := os.WriteFile(*at, []byte(pgtest.Database(t)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, _, err := initialise(t.Context(), filepath.Join(dir, "d"), conf, "Ada", []string{"us-iaas-cip", "sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		by             time.Duration
		warns, refuses bool
	}{{0, false, false}, {5 * time.Second, true, false}, {-5 * time.Second, true, false}, {time.Minute, true, true}, {-time.Minute, true, true}} {
		h, err := openHouse(t.Context(), made.Config, options{clock: func() time.Time { return muster.SystemClock().Add(c.by) }, log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := h.watchClock(t.Context()); (err != nil) != c.warns || (h.drift.err() != nil) != c.warns {
			t.Errorf("%s apart: %v", c.by, err)
		}
		took := time.Since(began)
		registry := prometheus.NewRegistry()
		registry.MustRegister(h.clockGauge())
		all, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		// What it says is short by no more than the time that asking took.
		says := time.Duration(all[0].Metric[0].Gauge.GetValue() * float64(time.Second)).Round(time.Microsecond)
		if least, most := min(c.by, 0), max(c.by, 0); says < max(least, c.by-took) || says > min(most, c.by+took) {
			t.Errorf("%s apart, asked for %s: the metric is %s", c.by, took, says)
		}
		if c.refuses {
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			err := h.serve(ctx, prometheus.NewRegistry(), newMeters(prometheus.NewRegistry()), nil)
			stop()
			if err == nil || !strings.Contains(err.Error(), "from the database's") {
				t.Errorf("%s apart and served: %v", c.by, err)
			}
		} else if err := h.refuseClock(t.Context()); err != nil {
			t.Errorf("%s apart and refused: %v", c.by, err)
		}
		d := &doctor{}
		d.clocks(t.Context(), h)
		if found := len(d.found) == 1 && d.found[0].Check == "clock of the database"; !found || (d.found[0].State != fine) != c.warns || (d.found[0].State == fail) != c.refuses {
			t.Errorf("%s apart: the doctor says %+v", c.by, d.found)
		}
		h.close(t.Context())
	}
}
