package endtoend

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/synthetic"
)

// TestWhatTheDeadHadIsTakenUp: a process that has a webhook under way, a code, a sweep and
// the sealing of the ledger is killed, or stopped. Others go on with all of it long before
// its leases are over: those last ten minutes here.
func TestWhatTheDeadHadIsTakenUp(t *testing.T) {
	t.Parallel()
	ends := map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP}
	if !soak() { // one of the two
		delete(ends, []string{"killed", "stopped"}[dice(t).IntN(2)])
	}
	for name, sig := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceivers(t)
			f := newFleet(t, 47, setup{settings: map[string]any{
				"lease": "10m", "mail": map[string]any{"server": r.mail.Addr().String(), "from": "codes@provider.example", "tls": "none"},
			}})
			f.d.configure(map[string]any{"out": map[string]any{"allow": []string{f.hooks.Listener.Addr().String(), r.hooks.Listener.Addr().String()}}})
			f.begin()
			for range 4 {
				f.apply(0, f.nextOf(synthetic.USClaim), nil)
			}
			// One process has it all: the others do not take anything meanwhile.
			const sealer = `SELECT holder FROM ledger.ledger_state`
			var victim *process
			at := 0
			others := make([]*process, 0, len(f.slots))
			eventually(t, roundLasts, "somebody seals the ledger", func() bool {
				others = others[:0]
				holder := pgtest.One[string](t, f.d.dsn, sealer)
				for n := range f.slots {
					if p := f.slots[n].Load(); strings.Contains(holder, "."+strconv.Itoa(p.cmd.Process.Pid)+".") {
						victim, at = p, n
					} else {
						others = append(others, p)
					}
				}
				return victim != nil
			})
			for _, p := range others {
				p.signal(syscall.SIGSTOP)
			}
			held := pgtest.One[string](t, f.d.dsn, sealer)
			ctx := context.Background()
			conn, err := pgx.Connect(ctx, f.d.dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(ctx)
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			victim.do("POST", "/v1/webhooks", map[string]any{"url": r.hooks.URL + "/held"}, nil, http.StatusCreated)
			if _, err := tx.Exec(ctx, `LOCK TABLE sweeps IN SHARE MODE`); err != nil {
				t.Fatal(err)
			}
			f.importList(at, 4)
			a := f.apply(0, f.nextOf(synthetic.Complete), victim.client)
			var c onboard.ChallengeAnswer
			victim.do("POST", "/v1/applications/"+a.Application+"/challenges", onboard.ChallengeRequest{Method: "contact.email"}, &c, http.StatusCreated, "Idempotency-Key", "c-1")
			has := func(kind string) bool {
				return pgtest.One[int64](t, f.d.dsn, `SELECT count(*) FROM jobs WHERE kind = $1 AND holder LIKE $2`, kind, "%."+strconv.Itoa(victim.cmd.Process.Pid)+".%") > 0
			}
			eventually(t, roundLasts, "a webhook, a code and a sweep are under way", func() bool {
				return r.most() > 0 && r.get(&r.sessions) > 0 && has(muster.JobWebhook) && has(muster.JobSendCode) && has(muster.JobSweep) &&
					pgtest.One[int64](t, f.d.dsn, `SELECT count(*) FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid))`, int64(conn.PgConn().PID())) > 0
			})
			was := r.most() // a try may have ended for want of an answer
			victim.signal(sig)
			since := time.Now()
			if err := tx.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			r.letGo()
			for _, p := range others {
				p.signal(syscall.SIGCONT)
			}
			took := map[string]time.Duration{}
			eventually(t, roundLasts, "others go on with what it had", func() bool {
				for what, done := range map[string]func() bool{
					"webhook": func() bool { return r.most() > was },
					"code":    func() bool { return r.get(&r.mailed) > 0 },
					"sweep": func() bool {
						return pgtest.One[int64](t, f.d.dsn, `SELECT count(*) FROM sweeps WHERE stage IN ('tail', 'done')`) > 0
					},
					"ledger": func() bool { return pgtest.One[string](t, f.d.dsn, sealer) != held },
				} {
					if took[what] == 0 && done() {
						took[what] = time.Since(since)
					}
				}
				return len(took) == 4
			})
			t.Logf("%s: %v", name, took)
		})
	}
}

// receivers are a receiver of webhooks and a mail relay that take a connection and say
// nothing until letGo.
type receivers struct {
	hooks *httptest.Server
	mail  net.Listener
	open  chan struct{}

	mu               sync.Mutex
	calls            map[string]int // by message
	sessions, mailed int
}

func newReceivers(t testing.TB) *receivers {
	r := &receivers{open: make(chan struct{}), calls: map[string]int{}}
	r.hooks = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		r.mu.Lock()
		r.calls[req.Header.Get("webhook-id")]++
		r.mu.Unlock()
		select {
		case <-r.open:
		case <-req.Context().Done():
		}
	}))
	var err error
	if r.mail, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := r.mail.Accept()
			if err != nil {
				return
			}
			go r.relay(conn)
		}
	}()
	t.Cleanup(func() { r.mail.Close(); r.hooks.CloseClientConnections(); r.hooks.Close() })
	return r
}

func (r *receivers) add(n *int) { r.mu.Lock(); defer r.mu.Unlock(); *n++ }
func (r *receivers) get(n *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *n
}

// most is how often the message came that came most often.
func (r *receivers) most() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.calls {
		n = max(n, times)
	}
	return n
}

func (r *receivers) letGo() { close(r.open) }

func (r *receivers) relay(conn net.Conn) {
	defer conn.Close()
	select {
	case <-r.open:
	default:
		r.add(&r.sessions)
		<-r.open
		return // whoever it was, they have lost the right to send
	}
	say := func(s string) { fmt.Fprintf(conn, "%s\r\n", s) }
	say("220 relay.example")
	lines, data := bufio.NewScanner(conn), false
	for lines.Scan() {
		line := lines.Text()
		switch verb := strings.ToUpper(strings.Fields(line + " .")[0]); {
		case data && line == ".":
			data = false
			r.add(&r.mailed)
			say("250 taken")
		case data:
		case verb == "EHLO":
			say("250-relay.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
		case verb == "DATA":
			data = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}
