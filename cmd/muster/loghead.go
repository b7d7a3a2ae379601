package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/tlog"
)

func newLogHead(t terminal) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "head", Short: "Fetch the latest signed head: keep it, and later verifications can be pinned to it", Args: cobra.NoArgs,
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&out, "out", "", "file to keep it in (default: the standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var signed []byte
		if _, err := c.call(cmd.Context(), http.MethodGet, "/checkpoint", nil, &signed); err != nil {
			return err
		}
		text, _, _ := strings.Cut(string(signed), "\n\n")
		head, err := tlog.ParseCheckpoint(text + "\n")
		if err != nil {
			return err
		}
		if out != "" || !r.json {
			if err := t.write(out, signed); err != nil {
				return err
			}
		}
		if r.json {
			return printJSON(t.out, struct {
				Origin string `json:"origin"`
				Size   int64  `json:"size"`
				Root   string `json:"root"`
			}{head.Origin, head.Size, head.Root.String()})
		}
		return nil
	}
	return cmd
}

func newLogKey(t terminal) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: "key", Short: "Print the log's public key, for verifiers and witnesses; opens the stores", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHouse(cmd.Context(), t, config, func(h *house) error {
				signers, err := h.vault.LogSigners(h.meta.Origin)
				if err != nil {
					return err
				}
				for _, s := range signers { // more than one while the key is handed over
					if err := t.write("", []byte(s.Public+"\n")); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	configFlag(cmd, &config)
	return cmd
}

func newLogHandover(t terminal) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "handover", Short: "Print how the log's key was handed over, for those who verify with an older one", Args: cobra.NoArgs,
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&out, "out", "", "file to write them to (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var all struct{ Handovers []api.HandoverOut }
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/log/handovers", nil, &all); err != nil {
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
