package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/tlog"
)

func newLog(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "Check the transparency log", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(newLogVerify(t), newLogAudit(t), newLogHead(t), newLogKey(t), newLogHandover(t))
	return cmd
}

func newLogVerify(t terminal) *cobra.Command {
	var bundle, checkpoint, pinned, key, handover string
	var witnesses []string
	var quorum int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify --bundle FILE --checkpoint FILE", Short: "Check one decision's bundle against a checkpoint, offline", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			data, err := readFile(bundle, tlog.MaxBundleBytes)
			if err != nil {
				return err
			}
			o := tlog.VerifyOptions{}
			if o.Checkpoint, err = readFile(checkpoint, 1<<20); err != nil {
				return err
			}
			if pinned != "" {
				if o.Pinned, err = readFile(pinned, 1<<20); err != nil {
					return err
				}
			}
			if key != "" {
				if o.Verifier, err = tlog.NewLogVerifier(key); err != nil {
					return err
				}
			}
			if handover != "" {
				if key == "" {
					return usageError{errors.New("--handover leads on from --key: the log's key that you hold")}
				}
				notes, err := readFile(handover, 1<<20)
				if err != nil {
					return err
				}
				if o.Handovers, err = tlog.SplitHandovers(notes); err != nil {
					return err
				}
			}
			if len(witnesses) > 0 {
				if o.Policy, err = tlog.NewPolicy(quorum, witnesses...); err != nil {
					return err
				}
			}
			report, err := tlog.VerifyBundle(data, o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(t.out).Encode(report)
			}
			_, err = fmt.Fprintln(t.out, report)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&bundle, "bundle", "", "bundle of one decision")
	f.StringVar(&checkpoint, "checkpoint", "", "checkpoint to check it against")
	f.StringVar(&pinned, "pinned", "", "older checkpoint that you hold: the log must extend it")
	f.StringVar(&key, "key", "", "the log's public key, as you got it from elsewhere")
	f.StringVar(&handover, "handover", "", "hand-overs of the log's key (muster log handover): from --key to the one that signs now")
	f.StringSliceVar(&witnesses, "witness", nil, "public key of a witness that you trust")
	f.IntVar(&quorum, "quorum", 1, "how many of the witnesses must have cosigned")
	f.BoolVar(&asJSON, "json", false, "for programs")
	for _, name := range []string{"bundle", "checkpoint"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

// readFile reads at most max bytes.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unread(path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, unread(path, err)
	}
	if int64(len(b)) > max {
		return nil, muster.Errorf(muster.CodeTooLarge, "%s is larger than %d bytes", path, max)
	}
	return b, nil
}

func newLogAudit(t terminal) *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "audit", Short: "Check the whole log against the store, its tiles, and the hand-overs of its key", Args: cobra.NoArgs,
		Long: "Opens the stores under the process lock: on SQLite, stop the server first.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(path)
			if err != nil {
				return err
			}
			h, err := openHouse(cmd.Context(), c, options{log: slog.New(slog.NewTextHandler(t.err, nil))})
			if err != nil {
				return err
			}
			defer h.close(context.WithoutCancel(cmd.Context()))
			a, err := h.audit(cmd.Context())
			if err != nil {
				return err
			}
			return printAudit(t, a, asJSON)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

// audit publishes what is new and checks everything.
func (h *house) audit(ctx context.Context) (*journal.Audit, error) {
	if _, err := h.book.Publish(ctx); err != nil {
		return nil, err
	}
	keys, err := h.logKeys()
	if err != nil {
		return nil, err
	}
	return h.journal.Audit(ctx, &reads{h.db}, h.book.Publisher.Tiles, keys.Verifiers...)
}

func printAudit(t terminal, a *journal.Audit, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(t.out).Encode(a); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(t.out, "%d leaves, %d under the signed head, %d tombstoned\n", a.Size, a.Published, a.Tombstoned)
		for _, f := range a.Findings {
			fmt.Fprintln(t.out, " ", f)
		}
	}
	if !a.Clean() {
		return muster.Errorf(muster.CodeConflict, "the audit found %d faults", len(a.Findings))
	}
	if !asJSON {
		fmt.Fprintln(t.out, "clean: every leaf has its record, every record its leaf, and the head is theirs")
	}
	return nil
}
