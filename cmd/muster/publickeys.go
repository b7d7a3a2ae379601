package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/gate"
)

// publicKeys are the halves of keys that others hold.
type publicKeys struct{ h *house }

func (p publicKeys) LogKeys() (keys []string, err error) {
	signers, err := p.h.vault.LogSigners(p.h.meta.Origin)
	for _, s := range signers {
		keys = append(keys, s.Public)
	}
	return keys, err
}

func (p publicKeys) GateKeys() (keys []string) {
	for _, key := range p.h.vault.SnapshotKeys() {
		keys = append(keys, gate.FormatKey(key))
	}
	return keys
}

const askOrOpen = "With a token the server is asked. Without one the stores are opened: on SQLite stop the server first."

func newLogKey(t terminal) *cobra.Command {
	return newPublicKey(t, "Print the log's public key, for verifiers and witnesses; two while it is handed over", "/v1/log/keys", publicKeys.LogKeys)
}

func newGateKey(t terminal) *cobra.Command {
	return newPublicKey(t, "Print the key that edges trust: the public half of what signs snapshots; two while it turns", "/v1/gate/keys",
		func(p publicKeys) ([]string, error) { return p.GateKeys(), nil })
}

// newPublicKey prints keys, one a line: those of a server's path, or of the stores.
func newPublicKey(t terminal, short, path string, open func(publicKeys) ([]string, error)) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: short, Long: short + ".\n\n" + askOrOpen, Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var x api.KeyLines
		err := r.askOrOpen(cmd.Context(), path, &x, func(_ context.Context, h *house) (err error) {
			x.Keys, err = open(publicKeys{h})
			return err
		})
		if err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, x)
		}
		return t.write("", []byte(strings.Join(x.Keys, "\n")+"\n"))
	}
	return cmd
}

func newLogHandover(t terminal) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "handover", Short: "Print how the log's key was handed over, for those who verify with an older one",
		Long: "Print how the log's key was handed over, for those who verify with an older one.\n\n" + askOrOpen, Args: cobra.NoArgs,
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&out, "out", "", "file to write them to (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var all api.HandoverList
		err := r.askOrOpen(cmd.Context(), "/v1/log/handovers", &all, func(ctx context.Context, h *house) error {
			past, err := h.db.LogHandovers(ctx)
			all = api.HandoversOf(past)
			return err
		})
		if err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, all)
		}
		var notes []string
		for _, h := range all.Handovers {
			notes = append(notes, h.Note)
		}
		return t.write(out, []byte(strings.Join(notes, "\n")))
	}
	return cmd
}

// askOrOpen reads into x from the server, where there is a token or a server is named, and
// has open read it from the stores otherwise.
func (r *remote) askOrOpen(ctx context.Context, path string, x any, open func(context.Context, *house) error) error {
	token, err := r.token()
	if err != nil {
		return err
	}
	if token == "" && r.server == "" {
		return withHouse(ctx, r.terminal, r.config, func(h *house) error { return open(ctx, h) })
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	_, err = c.call(ctx, http.MethodGet, path, nil, x)
	return err
}
