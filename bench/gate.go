package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/synthetic"
)

// gateSettings are what the run is made of; they are printed with its result.
type gateSettings struct {
	Accounts  int // in process
	Asked     int // questions that are timed
	Edge      int // accounts of a snapshot that an edge begins with
	Stored    int // accounts that a centre loads
	Changes   int // that are followed to edges, one after another
	Followers int // edges that follow at once
}

func gateSizes(quick bool) gateSettings {
	if quick {
		return gateSettings{Accounts: 1_000_000, Asked: 300_000, Edge: 200_000, Stored: 50_000, Changes: 40, Followers: 4}
	}
	return gateSettings{Accounts: 10_000_000, Asked: 2_000_000, Edge: 1_000_000, Stored: 1_000_000, Changes: 300, Followers: 4}
}

func gateBench(ctx context.Context, r *run) error {
	s := gateSizes(r.quick)
	r.say("accounts: of each hundred 88 are allowed, 6 limited, 4 suspended, 1 pending; 1 has interim service with an end of its own")
	if r.quick {
		f := gateSizes(false)
		r.say("quick: %d accounts instead of %d, snapshots of %d instead of %d, %d rows instead of %d", s.Accounts, f.Accounts, s.Edge, f.Edge, s.Stored, f.Stored)
	}
	return errors.Join(
		part("in process", gateInProcess(r, s)),
		part("snapshots", gateSnapshots(r, s)),
		part("centre", gateCentre(ctx, r, s)),
		part("changes", gateChanges(ctx, r, s)),
		part("over the wire", gateOverTheWire(ctx, r, s)),
	)
}

var gateKey = gate.Key{1, 2, 3}

// gateSnapshot makes so many accounts, named by accountName.
func gateSnapshot(n int) (*gate.Snapshot, error) {
	b := gate.NewBuilder("dep_bench", gateKey)
	for i := range n {
		raw, err := gateProfile(i)
		if err != nil {
			return nil, err
		}
		p, err := b.Profile(raw)
		if err != nil {
			return nil, err
		}
		d := gate.DecisionID{}
		if i%100 >= 88 {
			d = gate.DecisionID{byte(i), byte(i >> 8), byte(i >> 16), 1}
		}
		if err := b.Add(gateKey.Hash(accountName(i)), d, p); err != nil {
			return nil, err
		}
	}
	return b.Snapshot(1, uint64(n)), nil
}

func accountName(i int) string { return fmt.Sprintf("acct-%09d", i) }

var gateEpochStart = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// gateProfile is what is said of the i-th account, in its canonical form.
var gateProfile = func() func(i int) ([]byte, error) {
	ten := 10
	limits := muster.Limits{GPU: "none", Instances: &ten, OutboundMail: "closed"}
	of := func(steps ...muster.ProfileStep) []byte {
		raw, _, err := gate.EncodeProfile(muster.Profile{Steps: steps})
		if err != nil {
			panic(err)
		}
		return raw
	}
	step := func(v muster.Verdict) muster.ProfileStep { return muster.ProfileStep{Verdict: v} }
	allow := of(step(muster.Verdict{Status: muster.GateAllow}))
	limited := of(step(muster.Verdict{Status: muster.GateLimited, Code: "new_account", Rule: "us-iaas-cip/new_account", Limits: limits, Customer: "Your account is new: some limits apply."}))
	suspended := of(step(muster.Verdict{Status: muster.GateDeny, Code: "suspended", Rule: "us-iaas-cip/listed", Except: []string{muster.ActionExportData}, Customer: "Your account is suspended."}))
	pending := of(step(muster.Verdict{Status: muster.GateDeny, Code: "pending", Customer: "We still need something from you."}))
	return func(i int) ([]byte, error) {
		switch k := i % 100; {
		case k < 88:
			return allow, nil
		case k < 94:
			return limited, nil
		case k < 98:
			return suspended, nil
		case k < 99:
			return pending, nil
		}
		raw, _, err := gate.EncodeProfile(muster.Profile{Steps: []muster.ProfileStep{
			step(muster.Verdict{Status: muster.GateLimited, Code: "interim", Limits: limits}),
			{From: gateEpochStart.Add(time.Duration(i) * time.Second), Verdict: muster.Verdict{Status: muster.GateDeny, Code: "interim_ended"}},
		}})
		return raw, err
	}
}()

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func gateInProcess(r *run, s gateSettings) error {
	before := heap()
	began := time.Now()
	snap, err := gateSnapshot(s.Accounts)
	if err != nil {
		return err
	}
	r.say("in process: %d accounts built in %.1f s", s.Accounts, time.Since(began).Seconds())
	g := &gate.Gate{}
	now := gateEpochStart.Add(time.Hour)
	g.Set(snap, &gate.Head{Deployment: "dep_bench", Epoch: 1, Seq: snap.Seq, Time: now, Bound: time.Hour})
	r.atMost(fmt.Sprintf("memory an account, %d accounts", s.Accounts), float64(heap()-before)/float64(s.Accounts), "bytes", 48)

	names := make([]string, 1<<16)
	for i := range names { // spread over all of them, so that caches do not help more than they would
		hi, _ := bits.Mul64(uint64(i)*0x9e3779b97f4a7c15, uint64(s.Accounts))
		names[i] = accountName(int(hi))
	}
	request := gate.Request{Action: muster.ActionAddResources, Product: "vm", Instances: 3}
	request.Account = names[0]
	r.atMost("allocations a decision", testing.AllocsPerRun(1000, func() { g.Decide(&request, now) }), "allocations", 0)
	allowed := 0
	began = time.Now()
	for i := range s.Asked {
		request.Account = names[i%len(names)]
		if g.Decide(&request, now).Allow {
			allowed++
		}
	}
	r.note("a decision, one core, mean", float64(time.Since(began).Nanoseconds())/float64(s.Asked), "ns")
	if allowed < s.Asked*80/100 || allowed > s.Asked*97/100 {
		return fmt.Errorf("%d of %d questions were allowed", allowed, s.Asked)
	}
	const one, many, rounds = 1, 1000, 50
	for _, n := range []int{one, many} {
		var changes []gate.Change
		for i := range n {
			raw, err := gateProfile(i*7919 + 89)
			if err != nil {
				return err
			}
			changes = append(changes, gate.Change{Hash: gateKey.Hash(accountName(i * 7919 % s.Accounts)), Profile: raw})
		}
		began := time.Now()
		for range rounds {
			if _, err := snap.With(snap.Seq+1, slices.Clone(changes)); err != nil {
				return err
			}
		}
		r.note(fmt.Sprintf("a new snapshot after %d changes, %d accounts", n, s.Accounts), float64(time.Since(began).Microseconds())/rounds, "µs")
	}
	return nil
}

func gateSigner() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, ed25519.SeedSize))
}

// gateSnapshots is what an edge does at its start, but for the network.
func gateSnapshots(r *run, s gateSettings) error {
	snap, err := gateSnapshot(s.Edge)
	if err != nil {
		return err
	}
	key := gateSigner()
	began := time.Now()
	m, err := snap.Encode(gate.Head{Time: gateEpochStart, Bound: time.Hour}, key)
	if err != nil {
		return err
	}
	encoded := time.Since(began)
	var wire bytes.Buffer
	if _, err := m.WriteTo(&wire); err != nil {
		return err
	}
	size := wire.Len()
	began = time.Now()
	read, err := gate.ReadMessage(&wire, 0)
	if err != nil {
		return err
	}
	if err := read.Verify(key.Public().(ed25519.PublicKey), ""); err != nil {
		return err
	}
	if _, err := read.Snapshot(); err != nil {
		return err
	}
	decoded := time.Since(began)
	r.note(fmt.Sprintf("a snapshot of %d accounts", s.Edge), float64(size)/1e6, "MB")
	r.note("a snapshot written and signed", encoded.Seconds(), "s")
	r.note("a snapshot read, verified and ready to answer", decoded.Seconds(), "s")
	return nil
}

// gateCentre is how long a centre takes to have its state from the store.
func gateCentre(ctx context.Context, r *run, s gateSettings) error {
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(r.dir, "gate", "muster.db")})
	if err != nil {
		return err
	}
	defer db.Close()
	const portion = 10_000
	began := time.Now()
	for at := 0; at < s.Stored; at += portion {
		err := db.InTx(ctx, func(tx *store.Tx) error {
			for i := at; i < min(at+portion, s.Stored); i++ {
				raw, err := gateProfile(i)
				if err != nil {
					return err
				}
				if err := tx.PutGate(ctx, &muster.ProfileRecord{Hash: gateKey.Hash(accountName(i)), Account: accountName(i), Profile: raw, Fresh: true}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.say("centre: %d rows written to SQLite in %.1f s", s.Stored, time.Since(began).Seconds())
	c := gate.NewCentre(gate.CentreConfig{
		Store: db.Gate(), Deployment: "dep_bench", Key: gate.OneKey(gateKey), Signer: gateSigner(), Clock: muster.SystemClock, Bound: time.Minute,
		Rules: func(time.Time) (gate.Fail, bool) { return gate.DefaultFail, false },
	})
	began = time.Now()
	if err := c.Poll(ctx); err != nil {
		return err
	}
	r.note(fmt.Sprintf("a centre's start: %d accounts loaded from SQLite", s.Stored), time.Since(began).Seconds(), "s")
	if snap, _ := c.Gate().Load(); snap == nil || snap.Len() != s.Stored {
		return errors.New("the centre did not load what was written")
	}
	return nil
}

// gateChanges is how long an acknowledged change takes to be in force at every one of
// several followers, over HTTP, on one machine. A change is an application.
func gateChanges(ctx context.Context, r *run, s gateSettings) error {
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	d, err := newDeployment(ctx, bin, filepath.Join(r.dir, "changes"), "", "")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, bin, "gate", "key", "--config", filepath.Join(d.dir, "muster.yaml")).Output()
	if err != nil {
		return fmt.Errorf("muster gate key: %w", err)
	}
	key, err := gate.ParseKey(string(out))
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := d.start(ctx); err != nil {
		return err
	}
	body, err := d.get(ctx, "/v1/gate/snapshot")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var followers sync.WaitGroup
	defer followers.Wait()
	defer cancel()
	reached := make([]atomic.Int64, s.Followers) // accounts known at each
	arrived := make(chan struct{}, 1024)
	failed := make(chan error, s.Followers)
	for i := range s.Followers {
		followers.Go(func() {
			if err := d.followGate(ctx, key, body, func(n int) {
				reached[i].Store(int64(n))
				select {
				case arrived <- struct{}{}:
				default:
				}
			}); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	all, _, err := requests(d, synthetic.New(20261126), 0, s.Changes)
	if err != nil {
		return err
	}
	var took []time.Duration
	for i := range all {
		got, err := post(ctx, d.addr, all[i:i+1], 1, 0, false)
		if err != nil {
			return err
		}
		if got.taken != 1 {
			return errors.New("an application was not taken")
		}
		began := time.Now()
		for least(reached) < int64(i+1) {
			select {
			case <-arrived:
			case err := <-failed:
				return err
			case <-time.After(10 * time.Second):
				return fmt.Errorf("change %d did not arrive", i)
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	millis := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	r.say("changes: %d applications one after another, %d followers over HTTP; from the answer to the post until the last follower knows", len(took), s.Followers)
	r.atMost("a change is in force at every edge, median", millis(0.5), "ms", 250)
	r.note("a change is in force at every edge, p99", millis(0.99), "ms")
	return nil
}

// least is the smallest of them.
func least(of []atomic.Int64) int64 {
	n := of[0].Load()
	for i := range of {
		n = min(n, of[i].Load())
	}
	return n
}

// followGate follows a deployment from a snapshot and tells how many accounts it knows.
func (d *deployment) followGate(ctx context.Context, key ed25519.PublicKey, snapshot []byte, knows func(accounts int)) error {
	m, err := gate.ReadMessage(bytes.NewReader(snapshot), 0)
	if err != nil {
		return err
	}
	if err := m.Verify(key, ""); err != nil {
		return err
	}
	snap, err := m.Snapshot()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/gate/changes?epoch=%d&after=%d", d.addr, snap.Epoch, snap.Seq), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("following the gate: %d", res.StatusCode)
	}
	for {
		m, err := gate.ReadMessage(res.Body, 0)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.Verify(key, ""); err != nil {
			return err
		}
		if m.Kind == gate.KindDelta {
			if snap, err = snap.Apply(m); err != nil {
				return err
			}
			knows(snap.Len())
		}
	}
}
