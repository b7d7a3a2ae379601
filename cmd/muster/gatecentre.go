package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/edge"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/store"
)

// gateBound is the configuration's; it was checked when it was read.
func gateBound(c Config) time.Duration {
	d, err := time.ParseDuration(c.GateBound)
	if err != nil {
		return 2 * time.Minute
	}
	return d
}

// publishGate tells NATS, where the configuration names one, what followers are told.
// Of processes that share a database one does.
func (h *house) publishGate(ctx context.Context) error {
	c := h.conf.NATS
	if c.URL == "" || c.Prefix == "" {
		return nil
	}
	p := &edge.Publisher{NATS: edge.NATS{URL: c.URL, Credentials: c.Credentials, Prefix: c.Prefix}, Centre: h.centre, Trouble: func(err error) {
		h.log.Error("the gate's changes are not published", "code", string(muster.ErrorCode(err)), "error", err)
	}}
	if h.conf.Database != "" {
		p.Lease = func(ctx context.Context, ttl time.Duration) (ours bool, err error) {
			err = h.db.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Acquire(ctx, "gate.publish", h.self, ttl); return err })
			if muster.ErrorCode(err) == muster.CodeConflict {
				return false, nil
			}
			return err == nil, err
		}
	}
	return p.Run(ctx)
}

// gateGauges say what this process's gate knows, and how old that is.
func (h *house) gateGauges() []prometheus.Collector {
	gauge := func(name, help string, value func(*gate.Snapshot, gate.Head) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			snap, head := h.gate.Load()
			if snap == nil {
				return -1
			}
			return value(snap, head)
		})
	}
	return []prometheus.Collector{
		gauge("muster_gate_accounts", "Accounts that the gate knows; -1 before it is loaded.", func(s *gate.Snapshot, _ gate.Head) float64 { return float64(s.Len()) }),
		gauge("muster_gate_age_seconds", "Since the gate's knowledge was last known to be the store's; -1 before it is loaded.", func(_ *gate.Snapshot, head gate.Head) float64 { return h.clock().Sub(head.Time).Seconds() }),
		gauge("muster_gate_sequence", "Sequence number of the gate's state; -1 before it is loaded.", func(s *gate.Snapshot, _ gate.Head) float64 { return float64(s.Seq) }),
	}
}

// sweepGate removes profiles that no account has any more, a portion an hour: most had
// an instant of their own, as the end of somebody's interim service.
func (h *house) sweepGate(ctx context.Context) error {
	snap, _ := h.gate.Load()
	if snap == nil {
		return nil
	}
	var ids [][]byte
	for _, id := range snap.Unused(2000) {
		ids = append(ids, id[:])
	}
	if len(ids) == 0 {
		return nil
	}
	return h.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.SweepGateProfiles(ctx, ids, snap.Seq)
		return err
	})
}

// fillGate gives accounts that are older than the gate's tables their profiles. Until
// then the gate does not know them. A page that fails is tried again.
func (h *house) fillGate(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		n, err := h.onboard.FillGate(ctx)
		if n > 0 {
			h.log.Info("accounts from before the gate were given their profiles", "accounts", n)
		}
		if err == nil || ctx.Err() != nil {
			return nil
		}
		h.log.Error("the gate's profiles could not be filled", "code", string(muster.ErrorCode(err)), "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func newGateEpoch(t terminal) *cobra.Command {
	var path string
	var next bool
	cmd := &cobra.Command{
		Use: "epoch", Short: "Print the gate's epoch, or begin the next one after a restore; opens the stores", Args: cobra.NoArgs,
		Long: "Edges refuse a centre that knows less than they do. After the main store was restored from a backup it does:\n" +
			"begin a new epoch, which every edge accepts once and then follows. Without --next nothing is changed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHouse(cmd.Context(), t, path, func(h *house) error {
				ctx := cmd.Context()
				var epoch, seq uint64
				err := h.db.InTx(ctx, func(tx *store.Tx) (err error) {
					if next {
						if _, err = tx.NextGateEpoch(ctx); err != nil {
							return err
						}
					}
					epoch, seq, err = tx.GateState(ctx)
					return err
				})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(t.out, "epoch %d, sequence %d\n", epoch, seq)
				return err
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&next, "next", false, "begin the next epoch")
	return cmd
}
