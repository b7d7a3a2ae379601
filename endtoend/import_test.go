package endtoend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/synthetic"
)

// bookLines is how many customers the book of a kill test has.
func bookLines() int {
	if soak() {
		return 50_000
	}
	return 1_000
}

// writeBook writes a book of so many customers: every tenth customer stands below one that comes later, and
// every hundredth line is at fault.
func writeBook(t testing.TB, path string, lines int) (good, bad int) {
	t.Helper()
	var b bytes.Buffer
	people := synthetic.New(11)
	for i := 0; good < lines; i++ {
		if people.Class(i) == synthetic.Invalid {
			continue
		}
		app := people.Next(i)
		app.Reference, app.Account = fmt.Sprintf("old-%d", good), ""
		if good%10 == 0 && good+5 < lines {
			app.Parent = &muster.Parent{Account: fmt.Sprintf("old-%d", good+5), Relation: muster.RelationSubLessee}
		}
		text, err := json.Marshal(app)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, `{"type":"customer","customer":{"application":%s,"since":"2020-01-01"}}`+"\n", text)
		if good++; good%100 == 0 {
			bad++
			fmt.Fprintln(&b, `{"type":"customer","customer":{"application":{"reference":"bad"}}}`)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return good, bad
}

// importing starts muster import beside a server; flags say when the cohort is due.
func (d *deployment) importing(p *process, file string, flags ...string) *exec.Cmd {
	d.Helper()
	c := exec.Command(d.binary, append([]string{"import", file, "--cohort", "all", "--batch", "100", "--server", p.base, "--json"}, flags...)...)
	c.Env = append(os.Environ(), "MUSTER_TOKEN="+d.token)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		d.Fatal(err)
	}
	return c
}

// TestAnImportIsKilled kills the server, or the command, in the middle of an import
// again and again: nothing is lost and nothing is there twice.
func TestAnImportIsKilled(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{false, true} {
		t.Run(map[bool]string{false: "SQLite", true: "PostgreSQL"}[postgres], func(t *testing.T) {
			t.Parallel()
			d := setup{postgres: postgres}.make(t)
			file := filepath.Join(t.TempDir(), "book.ndjson")
			good, bad := writeBook(t, file, bookLines())
			r := dice(t)
			p := d.start(nil)
			place := func() int {
				list := walk[api.ImportView](p.client, "/v1/imports")
				if len(list) == 0 {
					return 0
				}
				return list[0].Place
			}
			over := false // the import came to its end before it was killed
			for n := range 3 {
				target := min(place()+1+r.IntN(good/5), good-good/5)
				c := d.importing(p, file, "--due", "2090-01-01")
				ended := make(chan error, 1)
				go func() { ended <- c.Wait() }()
				eventually(t, roundLasts, "some lines are taken", func() bool { return place() >= target })
				<-time.After(time.Duration(r.Int64N(int64(killWithin)))) // any point of a chunk
				if n%2 == 0 {
					p.kill()
				}
				_ = c.Process.Kill() // it may have ended
				<-ended
				if n%2 == 0 {
					if !postgres {
						d.audit()
					}
					p = d.start(nil)
				}
				if over = !walk[api.ImportView](p.client, "/v1/imports")[0].Ended.IsZero(); over {
					break
				}
			}
			for again := range 2 {
				if again == 1 || !over {
					c := d.importing(p, file, "--due", "2090-01-01")
					err := c.Wait()
					var exit *exec.ExitError
					if !errors.As(err, &exit) || exit.ExitCode() != 1 {
						t.Fatalf("muster import ended with %v: %s", err, c.Stderr)
					}
				}
				x := walk[api.ImportView](p.client, "/v1/imports")[0]
				want := []int{good, 0}
				if again == 1 { // from its start: all is there
					want = []int{0, good}
				}
				if x.Taken != want[0] || x.Refused != bad || again == 1 && x.There != want[1] || x.Later != 0 || x.Ended.IsZero() {
					t.Fatalf("%d of %d taken, %d there, %d of %d refused, %d wait", x.Taken, good, x.There, x.Refused, bad, x.Later)
				}
			}
			customers := walk[struct{ Customer string }](p.client, "/v1/customers")
			references := map[string]bool{}
			for _, a := range walk[api.ApplicationRow](p.client, "/v1/applications") {
				if references[a.Reference] || !strings.HasPrefix(a.Reference, "old-") {
					t.Fatalf("%s is there twice, or was not in the book", a.Reference)
				}
				references[a.Reference] = true
			}
			if len(customers) != good || len(references) != good {
				t.Fatalf("%d customers, %d references, want %d", len(customers), len(references), good)
			}
			p.stop()
			if a := d.audit(); a.ByType["decision"] != good {
				t.Fatalf("%d decisions in the log, %d customers", a.ByType["decision"], good)
			}
		})
	}
}
