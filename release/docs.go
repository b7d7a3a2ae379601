package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// docs are what the program says of itself, for packages.
type docs struct {
	manual      []byte            // muster(1), compressed
	changelog   []byte            // compressed
	completions map[string][]byte // by shell
}

func (m *made) writeDocs(ctx context.Context) (d docs, err error) {
	d.completions = map[string][]byte{}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if d.completions[shell], err = m.here(ctx, "completion", shell); err != nil {
			return d, err
		}
	}
	help, err := m.here(ctx, "--help")
	if err != nil {
		return d, err
	}
	page, err := m.manual(string(help))
	if err != nil {
		return d, err
	}
	if d.manual, err = zip([]byte(page)); err != nil {
		return d, err
	}
	log, err := os.ReadFile(filepath.Join(m.Source, "CHANGELOG.md"))
	if err != nil {
		return d, err
	}
	d.changelog, err = zip(log)
	return d, err
}

func zip(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = z.Write(b)
	err = errors.Join(err, z.Close()) // before out is looked at: it writes the end
	return out.Bytes(), err
}

var helpLine = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}(\S.*)$`)

// manual is muster(1), with the commands that --help lists.
func (m *made) manual(help string) (string, error) {
	_, list, ok := strings.Cut(help, "Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	rows := helpLine.FindAllStringSubmatch(list, -1)
	if !ok || len(rows) < 10 {
		return "", errors.New("muster --help does not list its commands as the manual reads them")
	}
	var commands strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&commands, ".It Cm %s\n%s.\n", r[1], strings.TrimSuffix(r[2], "."))
	}
	return fmt.Sprintf(manualPage, m.Time.Format("January 2, 2006"), m.Version, commands.String()), nil
}

// manualPage takes date, version and commands.
const manualPage = `.Dd %s
.Dt MUSTER 1
.Os "Muster %s"
.Sh NAME
.Nm muster
.Nd know who opens an account, and prove later what was decided
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar arguments
.Sh DESCRIPTION
The commands are listed here;
.Nm
.Ar command
.Fl -help
says what each takes.
.Bl -tag -width Ds
%s.El
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev MUSTER_CONFIG
Stands for
.Fl -config .
.It Ev MUSTER_SERVER
Stands for
.Fl -server
of commands that call the API.
.It Ev MUSTER_TOKEN
The token of such commands; a file by
.Fl -token-file
is better.
.El
.Sh FILES
Of Debian's package:
.Bl -tag -width Ds
.It Pa /etc/muster/muster.yaml
Configuration.
.It Pa /var/lib/muster
Records and log.
.It Pa /var/lib/muster-keys
Keys. Never in one backup with the records.
.El
.Sh EXIT STATUS
0: done.
1: it did not work; the message says why.
2: the command line is wrong.
3: denied.
4: serve cannot start, and will not until somebody changes something.
`
