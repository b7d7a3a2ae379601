package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/tlog"
)

// Files of a witness's directory.
const (
	witnessKey    = "witness.key" // private
	witnessPublic = "witness.pub"
	witnessState  = "state" // a file for each log: the last checkpoint cosigned
)

// newWitness is a witness of other people's logs (C2SP tlog-witness). It holds no
// deployment: a directory with its key and what it saw last. Two processes on one
// directory, or a directory restored from a backup, would vouch for two histories.
func newWitness(t terminal) *cobra.Command {
	var dir, listen string
	var logs []string
	cmd := &cobra.Command{
		Use: "witness --log KEY", Short: "Cosign the checkpoints of logs, as a witness of theirs (C2SP tlog-witness)", Args: cobra.NoArgs,
		Long: "Serve POST /add-checkpoint: cosign a log's checkpoint where it extends the last one by proof.\n" +
			"Make its key first with muster witness init. Never restore its directory from a backup.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return witness(cmd.Context(), t, dir, listen, logs)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "directory of the witness: key and state")
	f.StringVar(&listen, "listen", "127.0.0.1:8421", "host:port; TLS belongs before it")
	f.StringSliceVar(&logs, "log", nil, "public key of a log (muster log key); repeat")
	need(cmd, "log")
	cmd.AddCommand(newWitnessInit(t))
	return cmd
}

func newWitnessInit(t terminal) *cobra.Command {
	var dir, name string
	cmd := &cobra.Command{
		Use: "init --name NAME", Short: "Make a witness's key", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			private, public, err := tlog.GenerateWitnessKey(name)
			if err != nil {
				return err
			}
			if err := durable.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			key, err := newSecretFile(filepath.Join(dir, witnessKey))
			if err != nil {
				return err
			}
			defer key.discard()
			if err := key.keep(private); err != nil {
				return err
			}
			if err := durable.WriteFile(filepath.Join(dir, witnessPublic), []byte(public+"\n"), 0o600); err != nil {
				return err
			}
			_, err = fmt.Fprintf(t.out, "%s\nNext:\n\n  muster witness --dir %s --log KEY\n\nKEY is what muster log key prints on the side of the log; whose configuration then names this one:\n\n  witnesses:\n    - url: http://...\n      key: %s\n", public, dir, public)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory to make it in")
	cmd.Flags().StringVar(&name, "name", "", "of the witness, such as witness.example.org/muster")
	need(cmd, "name")
	return cmd
}

func witness(ctx context.Context, t terminal, dir, listen string, logs []string) error {
	private, err := secretFile(filepath.Join(dir, witnessKey))
	if err != nil {
		return &muster.Error{Code: muster.CodeNotFound, Message: "the witness has no key", Cause: err, Hint: "muster witness init makes one"}
	}
	cosigner, err := tlog.NewCosigner(private, muster.SystemClock)
	if err != nil {
		return err
	}
	known := map[string][]note.Verifier{}
	for _, k := range logs {
		v, err := tlog.NewLogVerifier(k)
		if err != nil {
			return usageError{fmt.Errorf("--log is a log's public key: %w", err)}
		}
		known[v.Name()] = append(known[v.Name()], v)
	}
	state, err := tlog.NewDirState(filepath.Join(dir, witnessState))
	if err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	w, err := tlog.NewWitness(tlog.WitnessConfig{Cosigner: cosigner, Logs: known, State: state})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/add-checkpoint", w)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.err, "witnessing %d logs at http://%s\n", len(known), l.Addr())
	return serveUntil(ctx, l, mux)
}

// lockDir holds a directory for this process; the kernel lets go with it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "another witness runs on " + dir, Cause: err}
	}
	return f, nil
}

// serveUntil serves until ctx ends, and lets what was begun come to its end.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
