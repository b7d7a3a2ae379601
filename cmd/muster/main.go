// Command muster knows who opens an account: it decides applications by the
// written programme, keeps the record sealed, and proves later what it decided.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // keeping.zone, on machines and in containers that have no table of zones

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
)

// Exit codes, documented in docs/operate.md.
const (
	exitOK     = 0
	exitError  = 1 // it did not work; the message says why
	exitUsage  = 2 // the command line is wrong
	exitDenied = 3 // the server says no: token, scope, four eyes
	exitStays  = 4 // serve cannot start, and will not before somebody has changed something
)

func main() {
	ownFilesOnly()
	os.Exit(Main(os.Args[1:]))
}

// Main runs one command line and returns its exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
}

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a wrong command line.
type usageError struct{ error }

// startError is why a server did not come to serve.
type startError struct{ error }

func (e startError) Unwrap() error { return e.error }

// stays says that the next start ends as this one did unless somebody changes something:
// the configuration, the root key, which process has the store. A service manager tries
// again what may pass by itself, such as a database that is away or another process that
// was faster, and leaves this.
func (e startError) stays() bool {
	return !slices.Contains([]muster.Code{muster.CodeUnavailable, muster.CodeNoSpace, muster.CodeRateLimited, muster.CodeStale, muster.CodeInternal}, muster.ErrorCode(e))
}

func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot(terminal{in, out, errs})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(errs, "muster:", message(err))
	var wrong usageError
	var start startError
	switch code := muster.ErrorCode(err); {
	case errors.As(err, &wrong):
		return exitUsage
	case code == muster.CodeForbidden || code == muster.CodeUnauthorized:
		return exitDenied
	case errors.As(err, &start) && start.stays():
		return exitStays
	}
	return exitError
}

// message is what a person reads: what is wrong, where, and what to do next.
func message(err error) string {
	var e *muster.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	// What was wrapped round it says where: the file, the line.
	text := strings.TrimSuffix(err.Error(), e.Error()) + e.Message
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	for _, f := range e.Faults {
		text += "\n  " + f.Pointer + ": " + f.Detail
	}
	if e.Hint != "" {
		text += "\n  " + e.Hint
	}
	return text
}

// newRoot is the command line's table of contents.
func newRoot(t terminal) *cobra.Command {
	root := &cobra.Command{
		Use: "muster", Short: "Know who opens an account, and prove later what was decided and why",
		SilenceErrors: true, SilenceUsage: true, Version: version(),
		RunE: func(c *cobra.Command, args []string) error { return c.Help() },
	}
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newDemo(t), newInit(t), newServe(t), newDoctor(t), newVersion(t),
		newIngest(t), newImport(t), newWho(t), newApply(t), newApplication(t), newDecision(t), newReview(t), newHit(t), newScreen(t), newPolicy(t), newLists(t), newMeasure(t), newOperator(t), newToken(t),
		newLog(t), newKeys(t), newGate(t), newWitness(t),
		newRetention(t), newHold(t), newErasure(t), newBackup(t), newRestore(t), newStorage(t),
		newCustomer(t), newExport(t),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	strict(root)
	return root
}
