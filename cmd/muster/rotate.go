package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/rotate"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/watch"
)

// How long a process may take to learn of a change of the keys, and a request that
// began before it to end.
const (
	settleAlone  = 5 * time.Second
	settleShared = 15 * time.Second
)

// openRotate wires the turning of keys.
func (h *house) openRotate(settle time.Duration) (*rotate.Service, error) {
	quarantine, err := time.ParseDuration(cmp.Or(h.conf.Ledger.Quarantine, "168h"))
	if err != nil {
		return nil, err
	}
	return rotate.New(rotate.Config{
		DB: store.As[rotate.Tx](h.db), Vault: h.vault, Journal: h.journal, Clock: h.clock, Book: shelf{h.onboard}, Log: handing{h},
		Hash: func(version int, reference string) ([16]byte, error) {
			key, err := h.gateKey(version)
			if err != nil {
				return [16]byte{}, err
			}
			return key.Hash(reference), nil
		},
		Epoch: h.rotateEpoch, Settle: settle, Quarantine: quarantine,
	}), nil
}

// rotateEpoch ends the epoch, or goes on with it, until about then.
func (h *house) rotateEpoch(ctx context.Context, until time.Time) (epoch int, keys int64, done bool, err error) {
	r, err := h.rotate(ctx, func(format string, args ...any) { h.log.Info(fmt.Sprintf(format, args...)) }, until)
	if errors.Is(err, errLater) {
		return r.To, int64(r.Keys), false, nil
	}
	return r.To, int64(r.Keys), err == nil, err
}

// shelf lets package rotate read the book through package onboard.
type shelf struct{ onboard *onboard.Service }

func (s shelf) Reindex(ctx context.Context, session *vault.Session, after string, kinds []vault.Kind, requests bool) (string, func(context.Context, rotate.Tx) error, error) {
	out, write, err := s.onboard.Reindex(ctx, session, after, kinds, requests)
	return out.Last, func(ctx context.Context, tx rotate.Tx) error { return write(ctx, tx.(*store.Tx)) }, err
}

// handing lets package rotate hand the log's key over.
type handing struct{ h *house }

// HandOver signs the newest head, with the name of the next key in it, with both.
func (l handing) HandOver(ctx context.Context) (muster.Handover, error) {
	cp, err := l.h.book.Publish(ctx)
	if err != nil {
		return muster.Handover{}, err
	}
	signers, err := l.h.vault.LogSigners(l.h.meta.Origin)
	if err != nil {
		return muster.Handover{}, err
	}
	if len(signers) != 2 {
		return muster.Handover{}, muster.Errorf(muster.CodeInternal, "there are not two keys of the log to hand over from and to")
	}
	old, next := signers[0], signers[1]
	note, err := tlog.SignHandover(cp, next.Public, old, next)
	return muster.Handover{KeyVersion: old.Version, Public: old.Public, Note: note}, err
}

// SignedBy reports whether the newest head is signed by a version of the key.
func (l handing) SignedBy(ctx context.Context, version int) (bool, error) {
	head, err := l.h.book.Publish(ctx)
	if err != nil {
		return false, err
	}
	signers, err := l.h.vault.LogSigners(l.h.meta.Origin)
	if err != nil {
		return false, err
	}
	for _, s := range signers {
		if s.Version != version {
			continue
		}
		v, err := tlog.NewLogVerifier(s.Public)
		if err != nil {
			return false, err
		}
		_, err = tlog.OpenCheckpoint(head.Signed, v)
		return err == nil, nil
	}
	return false, nil
}

// logVerifiers are of every key that the log ever had, the one in use first.
func (h *house) logVerifiers(ctx context.Context) ([]note.Verifier, error) {
	keys, err := h.logKeys()
	if err != nil {
		return nil, err
	}
	all := keys.Verifiers
	past, err := h.db.LogHandovers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range past {
		v, err := tlog.NewLogVerifier(p.Public)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(have note.Verifier) bool { return have.KeyHash() == v.KeyHash() }) {
			all = append(all, v)
		}
	}
	return all, nil
}

// rotating is what `keys rotate` is told.
type rotating struct {
	key     string
	overlap time.Duration
	status  bool
	finish  bool
	wait    bool
}

func newKeysRotate(t terminal) *cobra.Command {
	var o rotating
	cmd := &cobra.Command{
		Use: "rotate [KEY | all]", Short: "Give keys new versions, while everything goes on; without KEY end the epoch", Args: cobra.MaximumNArgs(1),
		Long: "KEY is epoch (the default), prf (every key of digests), prf/KIND, handle, gate, request, compliance, webhook,\n" +
			"config, code, token, record, log or snapshot: see docs/keys.md.\n\n" +
			"With a token the server is asked, which goes on by itself, also after a crash. Without one the stores are\n" +
			"opened (on SQLite stop the server first) and what can be done at once is done: the server goes on with the\n" +
			"rest, such as waiting until codes and tokens of the old version have run out.\n\n" +
			"Others hold log and snapshot too: both versions are good for the overlap, or until --finish.",
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.DurationVar(&o.overlap, "overlap", 7*24*time.Hour, "how long both versions of log and snapshot are good")
	f.BoolVar(&o.status, "status", false, "say which keys turn, and how far they are; with KEY, of turns that ended too")
	f.BoolVar(&o.finish, "finish", false, "end the overlap of KEY now")
	f.BoolVar(&o.wait, "wait", false, "wait until the new version is used and everything is brought up to it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.key = "epoch"
		if len(args) > 0 {
			o.key = args[0]
		}
		token, err := r.token()
		if err != nil {
			return err
		}
		if token != "" {
			c, err := r.client()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), r, remotely{c}, len(args) > 0)
		}
		return withHouse(cmd.Context(), t, r.config, func(h *house) error {
			return o.run(cmd.Context(), r, &beside{h: h}, len(args) > 0)
		})
	}
	return cmd
}

// turner turns keys: by the API, or beside the stores.
type turner interface {
	begin(ctx context.Context, key string, overlap time.Duration) ([]api.Rotation, error)
	finish(ctx context.Context, rotation string) (api.Rotation, error)
	list(ctx context.Context, all bool) ([]api.Rotation, error)
	rest(ctx context.Context, d time.Duration) error // goes on, or lets others
}

func (o *rotating) run(ctx context.Context, r *remote, by turner, named bool) error {
	switch {
	case o.status:
		all, err := by.list(ctx, named)
		if err != nil {
			return err
		}
		if named {
			all = slices.DeleteFunc(all, func(x api.Rotation) bool { return x.Key != o.key && o.key != rotate.All })
		}
		return printRotations(r, all)
	case o.finish:
		return o.end(ctx, r, by)
	}
	begun, err := by.begin(ctx, o.key, o.overlap)
	if err != nil {
		return err
	}
	if _, local := by.(*beside); local || o.wait {
		if begun, err = settled(ctx, by, begun); err != nil {
			return err
		}
	}
	if err := printRotations(r, begun); err != nil || r.json {
		return err
	}
	for _, x := range begun {
		if n := x.Targets["epoch"]; n > 0 {
			fmt.Fprintf(r.out, "\nepoch %d ended, epoch %d began; %d subject keys wrapped anew\nNext: back up the key store: copies from before do not open any more\n", n-1, n, x.Rows)
		}
	}
	return nil
}

// end ends the overlap of the turn of a key.
func (o *rotating) end(ctx context.Context, r *remote, by turner) error {
	all, err := by.list(ctx, false)
	if err != nil {
		return err
	}
	ended := []api.Rotation{}
	for _, x := range all {
		if x.Key != o.key && o.key != rotate.All || x.Overlap == "" {
			continue
		}
		x, err := by.finish(ctx, x.Rotation)
		if err != nil {
			return err
		}
		ended = append(ended, x)
	}
	if len(ended) == 0 {
		return muster.Errorf(muster.CodeNotFound, "no turn of %s waits for others", o.key)
	}
	if _, local := by.(*beside); local || o.wait {
		if ended, err = settled(ctx, by, ended); err != nil {
			return err
		}
	}
	return printRotations(r, ended)
}

// settled waits until turns have nothing left to do but to wait.
func settled(ctx context.Context, by turner, begun []api.Rotation) ([]api.Rotation, error) {
	for {
		all, err := by.list(ctx, true)
		if err != nil {
			return nil, err
		}
		busy := false
		for i, b := range begun {
			for _, x := range all {
				if x.Rotation == b.Rotation {
					begun[i] = x
				}
			}
			x := begun[i]
			busy = busy || x.Stage != "done" && x.Stage != "keeping" && !(x.Stage == "known" && x.Overlap != "")
		}
		if !busy {
			return begun, nil
		}
		if err := by.rest(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func printRotations(r *remote, all []api.Rotation) error {
	if r.json {
		return printJSON(r.out, struct {
			Rotations []api.Rotation `json:"rotations"`
		}{all})
	}
	var rows [][]string
	for _, x := range all {
		until := ""
		if x.Stage != "done" && x.Due.After(time.Now()) {
			until = "until " + when(x.Due)
		}
		went := ""
		if x.Went > 0 {
			went = strconv.FormatInt(x.Went, 10) + " went"
		}
		rows = append(rows, []string{x.Key, x.Stage, until, strconv.FormatInt(x.Rows, 10), went, x.Rotation})
	}
	return table(r.out, "no key turns", []string{"KEY", "STAGE", "", "ROWS", "", "ROTATION"}, rows)
}

// remotely turns keys by the API.
type remotely struct{ c *client }

func (a remotely) begin(ctx context.Context, key string, overlap time.Duration) ([]api.Rotation, error) {
	var out struct{ Rotations []api.Rotation }
	_, err := a.c.call(ctx, http.MethodPost, "/v1/keys/rotations", api.RotateOrder{Key: key, Overlap: overlap.String()}, &out)
	return out.Rotations, err
}

func (a remotely) finish(ctx context.Context, rotation string) (out api.Rotation, err error) {
	_, err = a.c.call(ctx, http.MethodPost, "/v1/keys/rotations/"+rotation+"/finish", nil, &out)
	return out, err
}

func (a remotely) list(ctx context.Context, all bool) ([]api.Rotation, error) {
	var out api.KeysAnswer
	_, err := a.c.call(ctx, http.MethodGet, "/v1/keys?all="+strconv.FormatBool(all), nil, &out)
	return out.Rotations, err
}

func (a remotely) rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// beside turns keys beside the stores. On SQLite nobody else is there, so nobody has to
// be given time; on PostgreSQL servers may run, and take the jobs as well.
type beside struct {
	h      *house
	turns  *rotate.Service
	runner *watch.Runner
}

func (b *beside) service() (*rotate.Service, error) {
	if b.turns != nil {
		return b.turns, nil
	}
	settle := settleShared
	if b.h.conf.Database == "" {
		settle = 0
	}
	var err error
	if b.turns, err = b.h.openRotate(settle); err != nil {
		return nil, err
	}
	b.runner, err = watch.NewRunner(watch.Config{
		DB: store.As[watch.Tx](b.h.db), Holder: b.h.self, Clock: b.h.clock, Log: b.h.log,
		Duties: map[string]watch.Duty{muster.JobRotate: {Handle: watch.GoOn(b.turns.Step), Workers: 1, Timeout: 50 * time.Second}},
	})
	return b.turns, err
}

func (b *beside) begin(ctx context.Context, key string, overlap time.Duration) ([]api.Rotation, error) {
	s, err := b.service()
	if err != nil {
		return nil, err
	}
	begun, err := s.Begin(ctx, "", key, overlap)
	return api.RotationsOf(begun), err
}

func (b *beside) finish(ctx context.Context, rotation string) (api.Rotation, error) {
	s, err := b.service()
	if err != nil {
		return api.Rotation{}, err
	}
	r, err := s.Finish(ctx, "", rotation)
	if err != nil {
		return api.Rotation{}, err
	}
	return api.RotationsOf([]*muster.Rotation{r})[0], nil
}

func (b *beside) list(ctx context.Context, all bool) ([]api.Rotation, error) {
	s, err := b.service()
	if err != nil {
		return nil, err
	}
	list, err := s.Rotations(ctx, all)
	return api.RotationsOf(list), err
}

func (b *beside) rest(ctx context.Context, _ time.Duration) error {
	b.runner.Drain(ctx)
	return remotely{}.rest(ctx, 10*time.Millisecond)
}
