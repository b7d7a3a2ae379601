package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/export"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// exported joins package export to package onboard.
type exported struct{ *house }

func (x exported) Give(ctx context.Context, tx export.Tx, s *vault.Session, customers []string) ([][]byte, error) {
	return x.onboard.GiveLines(ctx, tx.(*store.Tx), s, customers)
}

func (x exported) Regain(ctx context.Context, lines [][]byte) (int, error) {
	return x.onboard.Regain(ctx, lines)
}

func (h *house) exports() *export.Service {
	c := export.Config{
		DB: store.As[export.Tx](h.db), Files: exported{h}, Lists: h.lists, Journal: h.journal, Vault: h.vault, Staff: h.staff, Clock: h.clock,
		Meta: *h.meta, Program: version(), Load: h.load,
	}
	if h.asks != nil {
		c.Uses = h.asks
	}
	return export.New(c)
}

func newExport(t terminal) *cobra.Command {
	return group("export", "Give out everything on file, sealed, by two operators; muster import takes it in elsewhere",
		newExportAsk(t), newExportList(t), newExportAgree(t), newExportTake(t))
}

func newExportAsk(t terminal) *cobra.Command {
	var matter, file string
	cmd := &cobra.Command{
		Use: "ask --case NUMBER --recipients-file FILE", Short: "Ask for an export to recipients; another operator agrees", Args: cobra.NoArgs,
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&matter, "case", "", "reference of the matter; no name")
	cmd.Flags().StringVar(&file, "recipients-file", "", "file with age recipients, one a line: who can open it")
	need(cmd, "case", "recipients-file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := readFile(file, 64<<10)
		if err != nil {
			return err
		}
		recipients := []string{}
		for _, l := range strings.Split(string(b), "\n") {
			if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
				recipients = append(recipients, l)
			}
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		var v api.Export
		if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/exports", map[string]any{"case": matter, "recipients": recipients}, &v); err != nil {
			return err
		}
		return r.said(v, "%s is %s: another operator agrees with muster export agree %s", v.Export, v.State, v.Export)
	}
	return cmd
}

func newExportList(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List exports", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return printList(cmd.Context(), r, "/v1/exports", nil, columns[api.Export]{
			"no exports",
			[]string{"EXPORT", "STATE", "CASE", "ASKED BY", "ASKED", "AGREED BY", "TAKEN"},
			func(e *api.Export) []string {
				return []string{e.Export, e.State, e.Case, e.Operator, when(e.Asked), e.Approver, when(e.Taken)}
			},
		})
	}
	return cmd
}

func newExportAgree(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "agree EXPORT", Short: "Agree to an export, as another operator", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		l, err := all[api.Export](cmd.Context(), c, "/v1/exports", nil)
		if err != nil {
			return err
		}
		for _, e := range l.Items {
			if e.Export != id {
				continue
			}
			var v api.Export
			if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/exports/"+id+"/agreement", nil, &v, "If-Match", fmt.Sprintf(`"%d"`, e.Version)); err != nil {
				return err
			}
			return r.said(v, "%s can be taken within three days: muster export take %s FILE", v.Export, v.Export)
		}
		return muster.Errorf(muster.CodeNotFound, "there is no such export")
	}
	return cmd
}

func newExportTake(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "take EXPORT FILE", Short: "Write the archive of an export to a file, as it comes: sealed", Args: cobra.ExactArgs(2),
	}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		return durable.Write(args[1], 0o600, func(w io.Writer) error {
			return c.slow().stream(cmd.Context(), http.MethodPost, "/v1/exports/"+id+"/archive", w)
		})
	}
	return cmd
}

// stream sends a request without a body and copies its answer.
func (c *client) stream(ctx context.Context, method, path string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.http.Do(req)
	if err != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: "the server does not answer", Cause: err, Hint: "is muster serve running, and is --server its address?"}
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return err
		}
		return asError(res.StatusCode, data)
	}
	if _, err := io.Copy(to, res.Body); err != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: "the answer broke off", Cause: err, Hint: "take it again"}
	}
	return nil
}

const sealedStart = "age-encryption.org/"

// isArchive reports whether a file is an export's archive, sealed or open, or the beginning of one.
func isArchive(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, len(sealedStart))
	n, _ := io.ReadFull(f, start) // of a shorter one what there is
	if n == 0 {
		return false
	}
	const open = "manifest.json\x00"
	return strings.HasPrefix(sealedStart, string(start[:n])) || strings.HasPrefix(open, string(start[:min(n, len(open))]))
}

// importArchive takes an export's archive in: it is read to its end first, so that of
// one that was cut or altered nothing comes in.
func importArchive(ctx context.Context, r *remote, name, identity string) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	if err := checkArchive(name, identity); err != nil {
		return err
	}
	got := map[string]int{}
	err = readArchive(name, identity, func(part string, data []byte) error {
		if err := sendPart(ctx, r, c.slow(), part, data, got); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		fmt.Fprintf(r.err, "%s: %d records taken, %d leases and %d access records sent\n", printable(part), got["records"], got["leases"], got["access"])
		return nil
	})
	if err != nil {
		return err
	}
	return r.said(got, "%d records taken, %d leases and %d access records sent", got["records"], got["leases"], got["access"])
}

// checkArchive holds every part against the digests in the last one.
func checkArchive(name, identity string) error {
	var found []export.Member
	var contents *export.Contents
	err := readArchive(name, identity, func(part string, data []byte) error {
		if contents != nil {
			return muster.Errorf(muster.CodeMalformed, "the archive has parts after its last one")
		}
		if part == "contents.json" {
			contents = &export.Contents{}
			if json.Unmarshal(data, contents) != nil {
				return muster.Errorf(muster.CodeMalformed, "the last part of the archive cannot be read")
			}
			return nil
		}
		sum := sha256.Sum256(data)
		found = append(found, export.Member{Name: part, Bytes: int64(len(data)), SHA256: hex.EncodeToString(sum[:])})
		return nil
	})
	if err != nil {
		return err
	}
	if contents == nil || len(contents.Members) != len(found) {
		return notWhole(nil)
	}
	for i, m := range contents.Members {
		if f := found[i]; m.Name != f.Name || m.Bytes != f.Bytes || m.SHA256 != f.SHA256 {
			return muster.Errorf(muster.CodeMalformed, "part %d of the archive is not what its last part says of it", i+1)
		}
	}
	return nil
}

// readArchive calls fn for every part of an archive, in order, opening it where it is sealed.
func readArchive(name, identity string, fn func(part string, data []byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var archive io.Reader = in
	if start, err := in.Peek(len(sealedStart)); err == nil && string(start) == sealedStart {
		if identity == "" {
			return usageError{errors.New("this archive is sealed: --identity names the file that opens it")}
		}
		ids, err := readIdentities(identity)
		if err != nil {
			return err
		}
		if archive, err = age.Decrypt(in, ids...); err != nil {
			var none *age.NoIdentityMatchError
			if errors.As(err, &none) {
				return muster.Errorf(muster.CodeInvalid, "this identity does not open the archive")
			}
			return notWhole(err)
		}
	}
	for t := tar.NewReader(archive); ; {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return notWhole(err)
		}
		if head.Size > maxPart {
			return muster.Errorf(muster.CodeTooLarge, "a part of the archive is past its bound")
		}
		data, err := io.ReadAll(io.LimitReader(t, head.Size))
		if err != nil || int64(len(data)) != head.Size {
			return notWhole(err)
		}
		if err := fn(head.Name, data); err != nil {
			return err
		}
	}
}

func notWhole(cause error) error {
	return &muster.Error{Code: muster.CodeMalformed, Message: "the archive is not whole", Cause: cause, Hint: "take it again"}
}

const maxPart = 64 << 20

// sendPart sends one part of an archive where it belongs.
func sendPart(ctx context.Context, r *remote, c *client, name string, data []byte, got map[string]int) error {
	folder, _, _ := strings.Cut(name, "/")
	lines := bytes.Count(data, []byte("\n"))
	switch {
	case name == "manifest.json":
		var m export.Manifest
		if json.Unmarshal(data, &m) != nil || m.Format != export.Format {
			return muster.Errorf(muster.CodeInvalid, "this is no archive of an export that is known here")
		}
	case path.Ext(name) != ".ndjson" || folder == "log": // to read, not to take in
	case folder == "leases", folder == "access":
		to := map[string]string{"leases": "/v1/leases", "access": "/v1/access-records"}[folder]
		g := &ingest{remote: r}
		if _, err := g.tryPost(ctx, c, to, data); err != nil {
			return err
		}
		got[folder] += lines
	default:
		var out export.Regained
		if err := r.deliver(ctx, c, "/v1/imports/parts", data, &out, "Content-Type", "application/x-ndjson"); err != nil {
			return err
		}
		got["records"] += out.Taken
	}
	return nil
}
