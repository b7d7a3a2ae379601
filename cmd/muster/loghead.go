package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

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
