package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	exportID   = regexp.MustCompile(`exp_[A-Za-z0-9]+`)
	operatorID = regexp.MustCompile(`opr_[A-Za-z0-9]+`)
)

// given gives out everything that a running deployment has on file and takes it in, into
// an empty one on the same kind of database.
func given(ctx context.Context, r *run, s importSettings, x *importStores, d *deployment) error {
	identity, recipients, archive := filepath.Join(r.dir, "export.key"), filepath.Join(r.dir, "recipients"), filepath.Join(r.dir, "everything.age")
	defer func() { _ = errors.Join(os.Remove(identity), os.Remove(archive)) }() // the run's folder goes with them
	recipient, err := d.run(ctx, "backup", "identity", identity)
	if err != nil {
		return err
	}
	if err := os.WriteFile(recipients, []byte(recipient), 0o600); err != nil {
		return err
	}
	asked, err := d.watch(ctx, 0, "export", "ask", "--case", "bench", "--recipients-file", recipients)
	if err != nil {
		return err
	}
	id := exportID.FindString(asked.out)
	second, err := d.colleague(ctx)
	if err != nil {
		return err
	}
	if _, err := second.watch(ctx, 0, "export", "agree", id); err != nil {
		return err
	}
	if err := d.restart(ctx); err != nil { // its memory at most is of what follows
		return err
	}
	taken, err := d.watch(ctx, 0, "export", "take", id, archive)
	if err != nil {
		return err
	}
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	other, err := x.make(ctx, d.bin, "elsewhere")
	if err != nil {
		return err
	}
	if _, err := other.start(ctx); err != nil {
		return err
	}
	defer other.stop()
	back, err := other.watch(ctx, 0, "import", archive, "--identity", identity)
	if err != nil {
		return err
	}
	r.say("%s: export of %d MiB; elsewhere: %s", x.what, info.Size()>>20, strings.TrimSpace(back.out))
	for _, y := range []struct {
		name string
		watched
	}{{"given out", taken}, {"taken in elsewhere", back}} {
		r.note(x.what+": customers "+y.name, float64(s.Customers)/y.took.Seconds(), "customers/s")
		r.note(x.what+":   server, resident at most", y.server, "MiB")
		r.note(x.what+":   server, of no file at most", y.anonymous, "MiB")
		r.note(x.what+":   command line, resident at most", y.client, "MiB")
	}
	other.stop()
	return x.drop(ctx, "elsewhere")
}

// colleague is the deployment as another operator uses it.
func (d *deployment) colleague(ctx context.Context) (*deployment, error) {
	added, err := d.watch(ctx, 0, "operator", "add", "Grace Lim")
	if err != nil {
		return nil, err
	}
	made, err := d.watch(ctx, 0, "token", "create", "--operator", operatorID.FindString(added.out), "--name", "bench", "--all-scopes")
	if err != nil {
		return nil, err
	}
	other := *d
	other.token = strings.TrimSpace(made.out)
	return &other, nil
}

func (d *deployment) restart(ctx context.Context) error {
	d.stop()
	_, err := d.start(ctx)
	return err
}
