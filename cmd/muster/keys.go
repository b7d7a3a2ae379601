package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

func newKeys(t terminal) *cobra.Command {
	return group("keys", "Check and rotate the keys; opens the stores: on SQLite, stop the server first", newKeysVerify(t), newKeysRotate(t), newKeysMove(t))
}

// withHouse opens a deployment under the process lock, runs fn and closes it.
func withHouse(ctx context.Context, t terminal, config string, fn func(*house) error) error {
	c, err := readConfig(config)
	if err != nil {
		return err
	}
	h, err := openHouse(ctx, c, options{log: slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer h.close(context.WithoutCancel(ctx))
	return fn(h)
}

func newKeysVerify(t terminal) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Unwrap every key and say which do not open; no value is opened", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHouse(cmd.Context(), t, config, func(h *house) error {
				r, err := h.vault.Verify(cmd.Context())
				if err != nil {
					return err
				}
				return printKeys(t, r, asJSON)
			})
		},
	}
	configFlag(cmd, &config)
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func printKeys(t terminal, r vault.Report, asJSON bool) error {
	if asJSON {
		if err := printJSON(t.out, r); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, n := range r.Named {
			rows = append(rows, []string{n.Name, strings.Trim(fmt.Sprint(n.Versions), "[]"), ""})
		}
		for _, e := range r.Epochs {
			rows = append(rows, []string{"epoch", strconv.Itoa(e.Epoch), strconv.Itoa(e.Keys) + " subject keys"})
		}
		fmt.Fprintf(t.out, "root key %s, set %d\n\n", r.Root, r.Set)
		if err := table(t.out, "no keys", []string{"KEY", "VERSIONS", ""}, rows); err != nil {
			return err
		}
		for _, id := range r.Bad {
			fmt.Fprintln(t.out, "does not open:", id)
		}
		if r.Pending {
			fmt.Fprintln(t.out, "\na rotation is not finished: muster keys rotate goes on with it")
		}
		if !r.Sheds {
			fmt.Fprintln(t.out, "\nthe root key does not turn with the epoch: replace it after a rotation, so that erasure is final in backups too")
		}
	}
	if r.BadKeys > 0 {
		return &muster.Error{Code: muster.CodeConflict, Message: fmt.Sprintf("%d subject keys do not open", r.BadKeys), Hint: "restore the key store from its latest backup"}
	}
	if !asJSON {
		fmt.Fprintln(t.out, "\nevery key opens")
	}
	return nil
}

const (
	rotateLease = "keys.rotate"
	rotateFor   = 2 * time.Minute
)

// rotation is the body of a key's entry.
type rotation struct {
	What string `json:"what"` // begun | resumed | done
	From int    `json:"from"` // epochs
	To   int    `json:"to"`
	Keys int    `json:"keys,omitempty"` // subject keys wrapped anew by this run

	Again int `json:"again,omitempty"` // keys that were destroyed before and were there again: somebody brought an older key store
}

// rotate ends the epoch under a lease, for on PostgreSQL other processes run. Its
// beginning has a leaf before anything is done, so that none goes unrecorded: a
// crash leaves a beginning without an end, which the next run ends. Past until, unless
// it is zero, it stops with errLater, and the next run goes on.
func (h *house) rotate(ctx context.Context, say func(format string, args ...any), until time.Time) (done rotation, err error) {
	var lease *muster.Lease
	if err := h.db.InTx(ctx, func(tx *store.Tx) (err error) {
		lease, err = tx.Acquire(ctx, rotateLease, h.self, rotateFor)
		return err
	}); err != nil {
		if muster.ErrorCode(err) == muster.CodeConflict {
			return done, muster.Errorf(muster.CodeConflict, "another process rotates the keys: %w", err)
		}
		return done, err
	}
	defer func() {
		released := h.db.InTx(context.WithoutCancel(ctx), func(tx *store.Tx) error { return tx.Release(ctx, lease) })
		if err == nil {
			err = released
		}
	}()
	epoch, pending := h.vault.Epoch()
	done = rotation{What: "begun", From: epoch, To: epoch + 1}
	if pending {
		done = rotation{What: "resumed", From: epoch - 1, To: epoch}
		say("going on with the rotation to epoch %d", epoch)
	}
	if err := h.enterRotation(ctx, done); err != nil {
		return done, err
	}
	if !pending {
		// What was destroyed and came back by another way than a restore must not be
		// carried into the new epoch.
		persons, seen, err := h.endAgain(ctx)
		if err != nil {
			return done, err
		}
		if done.Again = persons + seen; done.Again > 0 {
			say("destroyed again: the keys of %d persons and %d pieces of evidence", persons, seen)
		}
		if err := h.db.InTx(ctx, func(tx *store.Tx) error { return tx.Renew(ctx, lease, rotateFor) }); err != nil {
			return done, err
		}
	}
	renewed := h.clock()
	if err := h.vault.Rotate(ctx, func(keys int) error {
		done.Keys = keys
		if keys%10_000 == 0 {
			say("%d subject keys wrapped anew", keys)
		}
		if !until.IsZero() && h.clock().After(until) {
			return errLater
		}
		if h.clock().Sub(renewed) < rotateFor/4 {
			return ctx.Err()
		}
		renewed = h.clock()
		return errors.Join(ctx.Err(), h.db.InTx(ctx, func(tx *store.Tx) error { return tx.Renew(ctx, lease, rotateFor) }))
	}); err != nil {
		return done, fmt.Errorf("the rotation is not finished, and the same command goes on with it: %w", err)
	}
	done.What = "done"
	return done, h.enterRotation(ctx, done)
}

func (h *house) enterRotation(ctx context.Context, r rotation) error {
	return h.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := h.journal.Enter(ctx, tx, tlog.Key, "", muster.Ref{Kind: "epoch", ID: strconv.Itoa(r.To)}, r)
		return err
	})
}

// moved is the body of the entry of a root key that was replaced.
type moved struct {
	What string `json:"what"` // moved
	From string `json:"from"` // ids of root keys
	To   string `json:"to"`
}

func newKeysMove(t terminal) *cobra.Command {
	var config, next string
	cmd := &cobra.Command{
		Use: "move", Short: "Put the keys under another root key; stop every server first", Args: cobra.NoArgs,
		Long: "Wrap the keys under the root key that another configuration names: a new file, or a KMS. A file that\n" +
			"is not there is made. From then on only that configuration opens the deployment. Back up the key store after.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			to, err := readConfig(next)
			if err != nil {
				return err
			}
			return withHouse(ctx, t, config, func(h *house) error {
				if to.RootKey == h.conf.RootKey && to.KMS == h.conf.KMS {
					return muster.Errorf(muster.CodeInvalid, "both configurations name the same root key")
				}
				if to.Keys != h.conf.Keys || to.KeyDatabase != h.conf.KeyDatabase {
					return muster.Errorf(muster.CodeInvalid, "the configurations name different key stores")
				}
				if file := to.rootKeyFile(); file != "" {
					if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
						if _, err := vault.CreateKeyFile(file); err != nil {
							return err
						}
						fmt.Fprintln(t.err, "made", file)
					}
				}
				kms, err := openRootKey(ctx, &to)
				if err != nil {
					return err
				}
				from, err := openRootKey(ctx, &h.conf)
				if err != nil {
					return err
				}
				if err := h.vault.MoveRoot(ctx, kms); err != nil {
					return err
				}
				if err := h.db.InTx(ctx, func(tx *store.Tx) error {
					_, err := h.journal.Enter(ctx, tx, tlog.Key, "", muster.Ref{Kind: "root", ID: kms.ID()}, moved{What: "moved", From: from.ID(), To: kms.ID()})
					return err
				}); err != nil {
					return err
				}
				_, err = fmt.Fprintf(t.out, "the keys are under root key %s\nNext: start with %s, back up the key store %s, and keep the old root key as long as older backups of it\n", kms.ID(), next, h.conf.Keys)
				return err
			})
		},
	}
	configFlag(cmd, &config)
	cmd.Flags().StringVar(&next, "to", "", "configuration that names the next root key")
	cmd.MarkFlagRequired("to")
	return cmd
}

// errLater ends a part of a rotation that goes on in the next.
var errLater = errors.New("the rotation goes on later")

// epochs turns the epoch of the keys by itself when it is old enough, as a day's duty.
type epochs struct {
	*house
	period time.Duration // 0: never
}

// epochAge is the cursor of that duty: since when this epoch is known.
type epochAge struct {
	Epoch int       `json:"epoch"`
	Since time.Time `json:"since"`
}

func (e epochs) Slice(ctx context.Context, cursor []byte, until time.Time) ([]byte, bool, error) {
	var age epochAge
	if cursor != nil {
		if err := json.Unmarshal(cursor, &age); err != nil {
			return nil, false, muster.Errorf(muster.CodeInternal, "a job's payload is not what it should be: %w", err)
		}
	}
	next := func(done bool) ([]byte, bool, error) {
		data, err := json.Marshal(age)
		return data, done, err
	}
	epoch, pending := e.vault.Epoch()
	if pending {
		epoch-- // of which a turn was begun
	}
	if age.Epoch != epoch {
		age = epochAge{epoch, e.clock()} // made, or turned by hand
	}
	if !pending && (e.period == 0 || e.clock().Sub(age.Since) < e.period) {
		return next(true)
	}
	done, err := e.rotate(ctx, func(format string, args ...any) { e.log.Info(fmt.Sprintf(format, args...)) }, until)
	switch {
	case errors.Is(err, errLater):
		return next(false)
	case err != nil:
		return nil, false, err
	}
	e.log.Info("the epoch of the keys turned: back up the key store", "epoch", done.To, "keys", done.Keys)
	age = epochAge{done.To, e.clock()}
	return next(true)
}
