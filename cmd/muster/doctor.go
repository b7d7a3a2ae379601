package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
)

// doctor looks at a deployment from outside in, changes nothing of it but what
// opening a store does (migrations), and says for each fault what to do next. It
// prints no value.
type doctor struct {
	*remote
	leaves int64
	found  []symptom
}

// symptom is one row of the doctor's table.
type symptom struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok | warn | fail
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"` // what to do
}

const (
	fine = "ok"
	warn = "warn"
	fail = "fail"
)

func newDoctor(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at a deployment and say what is wrong, and what to do next", Args: cobra.NoArgs,
		Long: "Look at a deployment: configuration, files, keys, store, packs, clock, disk, log and jobs. Opens the\n" +
			"stores under the process lock; while a server holds that, asks the server instead, and says so.\n" +
			"Exit code 1 where anything fails.",
	}
	d := &doctor{remote: remoteFlags(cmd, t)}
	cmd.Flags().Int64Var(&d.leaves, "leaves", 5000, "audit a log of up to so many leaves whole, and of a longer one the last")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) }
	return cmd
}

func (d *doctor) note(check, state, detail, next string) {
	d.found = append(d.found, symptom{check, state, detail, next})
}

func (d *doctor) run(ctx context.Context) error {
	if c, ok := d.configuration(); ok {
		d.files(c)
		d.outside(c)
		d.storage(ctx, c)
		d.inside(ctx, c)
	}
	return d.conclude()
}

func (d *doctor) configuration() (Config, bool) {
	c, err := readConfig(d.config)
	if err != nil {
		next := "mend " + d.config
		if muster.ErrorCode(err) == muster.CodeNotFound {
			next = "muster init makes a deployment; --config names another"
		}
		d.note("configuration", fail, message(err), next)
		return c, false
	}
	d.note("configuration", fine, d.config+": "+c.Mode+", "+c.Origin, "")
	return c, true
}

// inside opens the stores, or asks the server that holds them.
func (d *doctor) inside(ctx context.Context, c Config) {
	h, err := openHouse(ctx, c, options{log: slog.New(slog.DiscardHandler)})
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		d.note("stores", fine, "a server has them open: it is asked instead, and what only the stores tell is not looked at", "stop the server to have them looked at")
		d.server(ctx, c)
		return
	case err != nil:
		d.note("stores", fail, message(err), openingNext(err, c))
		return
	}
	defer h.close(context.WithoutCancel(ctx))
	d.note("stores", fine, "open, of this program's version", "")
	if c.Database == "" {
		d.listener(c)
	} else {
		d.server(ctx, c)
	}
	d.house(ctx, h)
}

// openingNext is what to do about a store or key that does not open.
func openingNext(err error, c Config) string {
	var e *muster.Error
	if errors.As(err, &e) && e.Hint != "" {
		return e.Hint
	}
	if c.Database != "" {
		return "is PostgreSQL up, and are the files of database and key_database right?"
	}
	return "restore data, keys and root key of one deployment, each from its own backup"
}

// listener says whether the server could listen: no server runs.
func (d *doctor) listener(c Config) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		d.note("listener", fail, c.Listen+" cannot be listened on, and it is not this deployment's server that does", "choose another listen, or stop what has it")
		return
	}
	l.Close()
	d.note("listener", warn, c.Listen+" is free: no server runs", "muster serve --config "+d.config)
}

// server asks the running server what it says of itself.
func (d *doctor) server(ctx context.Context, c Config) {
	base, err := d.address()
	if err != nil {
		d.note("server", fail, message(err), "")
		return
	}
	token, err := d.token()
	if err != nil {
		d.note("server", fail, message(err), "")
		return
	}
	api, err := newClient(base, token)
	if err != nil {
		d.note("server", fail, message(err), "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if token == "" {
		if _, err := api.call(ctx, "GET", "/readyz", nil, nil); err != nil {
			d.note("server", fail, base+": "+message(err), "look into the server's log")
			return
		}
		d.note("server", fine, base+" is ready", "set MUSTER_TOKEN, and its parts are shown")
		return
	}
	var s struct {
		Version string          `json:"version"`
		Origin  string          `json:"origin"`
		Time    time.Time       `json:"time"`
		Ready   bool            `json:"ready"`
		Parts   map[string]bool `json:"parts"`

		Degraded []string `json:"degraded"`
	}
	began := time.Now()
	if _, err := api.call(ctx, "GET", "/v1/status", nil, &s); err != nil {
		d.note("server", fail, base+": "+message(err), "look into the server's log")
		return
	}
	d.reported(c, base, s.Version, s.Origin, s.Ready, s.Parts)
	for _, name := range s.Degraded {
		next := "muster " + name + " status says what is past its bound"
		switch name {
		case "storage":
			next = "see the storage above, and the server's log"
		case "clock":
			next = "have the server's machine and the database's keep time by NTP"
		}
		d.note("server: "+name, warn, "works, and not as it should", next)
	}
	if apart := s.Time.Sub(began).Abs(); apart > time.Minute {
		d.note("clock", warn, fmt.Sprintf("this machine and the server are %s apart", apart.Round(time.Second)), "have both keep time by NTP")
	}
}

func (d *doctor) reported(c Config, base, release, origin string, ready bool, parts map[string]bool) {
	switch {
	case origin != c.Origin:
		d.note("server", fail, base+" serves another deployment: "+origin, "--server, or listen of the configuration, names the wrong one")
	case !ready:
		d.note("server", fail, base+" is not ready", "see its parts below, and its log")
	case release != version():
		d.note("server", warn, base+" is ready, and of another version: "+release, "restart it with this program, or use its own")
	default:
		d.note("server", fine, base+" is ready", "")
	}
	for _, name := range sorted(parts) {
		if parts[name] {
			d.note("server: "+name, fine, "answers", "")
		} else {
			d.note("server: "+name, fail, "does not answer", "look into the server's log")
		}
	}
}

func (d *doctor) conclude() error {
	failed, warned := 0, 0
	var rows [][]string
	for _, s := range d.found {
		switch s.State {
		case fail:
			failed++
		case warn:
			warned++
		}
		rows = append(rows, []string{s.State, s.Check, oneLine(s.Detail), oneLine(s.Next)})
	}
	var err error
	if d.json {
		err = printJSON(d.out, map[string]any{"checks": d.found, "failed": failed, "warned": warned})
	} else {
		err = table(d.out, "nothing was looked at", []string{"STATE", "CHECK", "FOUND", "WHAT TO DO NEXT"}, rows)
	}
	if err == nil && failed > 0 {
		err = muster.Errorf(muster.CodeUnavailable, "%d of %d checks failed", failed, len(d.found))
	}
	return err
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
