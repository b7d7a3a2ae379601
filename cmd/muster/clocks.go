package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-cip/muster"
)

// Processes on one PostgreSQL go by their own clocks: leases end, packs and measures
// begin, and records are dated by them. Each compares its own with the database's, and so
// with the others'. Past the first bound a lease may be taken before its holder has let go
// of it (a twelfth of the shortest lease is kept for that): what is written is refused by
// its fence, what is sent may come twice. Past the second a lease of the shortest kind is
// over before it begins.
const (
	apartWarn   = 800 * time.Millisecond
	apartRefuse = 10 * time.Second
)

// drift is how far this clock was from the database's when it was last looked at.
type drift struct{ last atomic.Int64 }

func (d *drift) err() error {
	if by := time.Duration(d.last.Load()); by.Abs() > apartWarn {
		return fmt.Errorf("the clock of this machine and that of the database are %s apart", by.Abs().Round(time.Millisecond))
	}
	return nil
}

// watchClock compares the clocks. A standing duty.
func (h *house) watchClock(ctx context.Context) error {
	by, err := h.db.Apart(ctx)
	if err != nil {
		return err
	}
	h.drift.last.Store(int64(by))
	return h.drift.err()
}

// refuseClock ends a start on a machine whose clock is too far off.
func (h *house) refuseClock(ctx context.Context) error {
	by, err := h.db.Apart(ctx)
	if err != nil || by.Abs() <= apartRefuse {
		return err
	}
	return &muster.Error{
		Code: muster.CodeUnavailable, Message: fmt.Sprintf("the clock of this machine is %s from the database's: nothing is served past %s", by.Abs().Round(time.Second), apartRefuse),
		Hint: "have both keep time by NTP",
	}
}

// clockGauge is the metric of it.
func (h *house) clockGauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "muster_clock_apart_seconds", Help: "How far this machine's clock is ahead of the database's; 0 on SQLite.",
	}, func() float64 { return time.Duration(h.drift.last.Load()).Seconds() })
}
